import { describe } from 'vitest';
import { passes } from './run-short.js';

describe('Redis has lost everything', () => {
  passes('flushall');
  passes('redis-restarted-empty');
});

describe('Redis has lost some of it, or a replica was not there', () => {
  passes('aof-lost-tail');
  passes('flush-while-one-is-cut');
});
