import type { LockReply, LockState } from '../contract/index.js';

export interface LockAttempt {
  owner: string;
  ttlMs: number;
  /** The same in each retry: the same attempt then, however often it is sent. */
  lease: string;
  /** How long to wait for it, in the order of arrival; 0: not at all. */
  waitMs: number;
  /** Whoever waits has gone. */
  signal?: AbortSignal;
}

/**
 * Locks by name. On a store that may lose what it acknowledged (a failover) two may believe for a moment that they hold one: what a lock protects must
 * check the fencing token, which grows all the same.
 */
export interface Locks {
  /** Rejects: lock_held, which says who holds it and until when. */
  acquire(name: string, attempt: LockAttempt): Promise<LockReply>;
  /** Rejects: lock_lost. */
  renew(name: string, lease: string, ttlMs: number): Promise<LockReply>;
  /** Rejects: lock_lost, when this lease did not hold it. */
  release(name: string, lease: string): Promise<void>;
  look(name: string): Promise<LockState>;
}
