import type { Connection } from '../connect/connection.js';
import type { StoreClock } from '../connect/store-clock.js';
import type { Keys } from './keys.js';
import type { Scripts } from './scripts.js';
import type { Turns } from './turns.js';

/** What it takes to talk to one registry in Redis. */
export interface Store {
  connection: Connection;
  keys: Keys;
  scripts: Scripts;
  turns: Turns;
  clock: StoreClock;
}

/** What is read from: a store, of which nothing is written. */
export type Source = Omit<Store, 'turns'>;
