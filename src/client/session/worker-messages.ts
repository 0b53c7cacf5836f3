import type { Heartbeat } from '../../contract/index.js';
import type { ClientOptions } from '../base/options.js';
import type { BeatsEnd } from '../verbs/keep-alive.js';

/** What the main thread has so long to say what a heartbeat says, in ms; then it counts as busy. */
export const BUSY_AFTER_MS = 250;
/** How often the main thread leaves word that it comes round, in ms. */
export const TICK_MS = 100;

/** What the thread that beats is started with. */
export interface WorkerOrders {
  options: Omit<ClientOptions, 'log' | 'fetch'>;
  instanceId: string;
  incarnation: string;
  heartbeatIntervalMs: number;
  performance: Heartbeat['performance'];
  /** When the main thread came round last, by `nowMs`; shared. */
  ticks: BigInt64Array;
}

export type ToWorker = { kind: 'say'; asked: number; beat: Heartbeat } | { kind: 'nudge' } | { kind: 'stop' };

export type FromWorker =
  | { kind: 'waiting' }
  | { kind: 'ask'; asked: number }
  | { kind: 'renewed'; sentAtMs: number; nextMs: number; heard: boolean }
  | { kind: 'end'; end: BeatsEnd }
  | { kind: 'log'; level: 'info' | 'warn'; about: object; message: string };

/** A clock that all threads of a process share, in ms: each has a `performance.now()` of its own. */
export const nowMs = () => Number(process.hrtime.bigint() / 1000n) / 1000;
