import { describe } from 'vitest';
import { passes } from './run-short.js';

describe('Redis is away', () => {
  passes('redis-down-5s');
  passes('half-open');
});

describe('replicas and instances die', () => {
  passes('kill-gateway');
  passes('most-of-a-group-killed');
});

describe('late heartbeats', () => {
  passes('delete-vs-late-heartbeat');
});
