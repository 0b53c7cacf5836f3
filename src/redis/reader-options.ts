import type { Change } from '../registry/change.js';

export interface ReaderOptions {
  offlineMs: number;
  /** The store was started by this process, so nobody else knows what was in it before. */
  ownStore: boolean;
  observer: ReaderObserver;
}

export interface ReaderObserver {
  reachable: (reachable: boolean) => void;
  applied: (change: Change) => void;
  /** The whole registry was read: at the start, or because the log had a gap or was another. */
  loaded: (reason: LoadReason) => void;
  /** Redis had lost what this replica knows, and has it again. */
  recovered: () => void;
}

export type LoadReason = 'start' | 'lag' | 'epoch' | 'outdated';
