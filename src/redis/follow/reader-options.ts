import type { LoadReason } from '../load/load-log.js';
import type { Change } from '../../registry/log/change.js';
import type { DivergenceReason } from './divergence.js';

export interface ReaderOptions {
  offlineMs: number;
  /** The store was started by this process, so nobody else knows what was in it before. */
  ownStore: boolean;
  observer: ReaderObserver;
}

export interface ReaderObserver {
  /** Redis answered, or has not for some two seconds. */
  reachable: (reachable: boolean) => void;
  applied: (change: Change) => void;
  /** The whole registry was read: at the start, or because the log had a gap or was another. */
  loaded: (reason: LoadReason) => void;
  /** Redis had lost what this replica knows, and has it again. */
  recovered: () => void;
  /** It is proved that the view and Redis, or two replicas, do not say the same. */
  diverged: (reason: DivergenceReason) => void;
}
