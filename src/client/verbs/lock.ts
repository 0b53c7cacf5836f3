import { ulid } from 'ulid';
import type { Backend } from '../base/backend.js';
import { isPassing, RollcallError } from '../base/errors.js';
import { linked } from '../base/linked.js';
import { sleep } from '../base/sleep.js';

export interface LockOptions {
  /** The lock is free again after so long without being renewed: as long as others wait for a holder that died. 1 to 3,600. */
  ttlSeconds: number;
  /** How long to wait for it, in ms, in the order of arrival; 0 unless given. */
  waitMs?: number;
  /** Who, for people. */
  owner?: string;
  signal?: AbortSignal;
}

export interface Lock {
  name: string;
  /** Greater than any before. What the lock protects refuses smaller ones. */
  fencingToken: number;
  /** Aborts when the lock is lost, or may be: it was not acknowledged for its whole time. */
  signal: AbortSignal;
}

/** A gateway keeps a request waiting for no longer. */
const MAX_WAIT_MS = 30_000;
/** Ends before it is known to end elsewhere, in ms: a clock may run a little slower here. */
const MARGIN_MS = 50;

export async function withLock<T>(backend: Backend, name: string, { ttlSeconds, waitMs = 0, owner = 'a client', signal }: LockOptions, work: (lock: Lock) => Promise<T> | T): Promise<T> {
  const [lease, ttlMs] = [ulid(), ttlSeconds * 1000];
  const over = new AbortController();
  const held = await acquire(backend, name, { owner, ttlMs, lease, waitMs, ...(signal && { signal }) });
  const lost = new AbortController();
  const told = linked([lost.signal, signal]);
  const lose = (why: string) => lost.abort(new RollcallError('lock_lost', `the lock '${name}' ${why}`));
  const keeping = keep(backend, name, lease, ttlMs, held.sentAt, over.signal, lose);
  try {
    const result = await work({ name, fencingToken: held.fencingToken, signal: told.signal });
    lost.signal.throwIfAborted(); // it is over, and others may have begun before it was
    return result;
  } finally {
    over.abort();
    told.over();
    await keeping;
    if (!lost.signal.aborted) await backend.locks.release(name, lease).catch(() => undefined); // else it ends by itself
  }
}

/** In waits that a gateway takes, under one lease: its place in the queue stays. */
async function acquire(backend: Backend, name: string, attempt: { owner: string; ttlMs: number; lease: string; waitMs: number; signal?: AbortSignal }) {
  const until = performance.now() + attempt.waitMs;
  for (;;) {
    const sentAt = performance.now();
    const waitMs = Math.max(0, Math.min(MAX_WAIT_MS, Math.floor(until - sentAt)));
    try {
      const { fencingToken } = await backend.locks.acquire(name, { ...attempt, waitMs });
      // How long it was waited for is not known: whoever renews at once knows when its time began.
      const renewedAt = performance.now();
      if (waitMs > 0) await backend.locks.renew(name, attempt.lease, attempt.ttlMs);
      return { fencingToken, sentAt: waitMs > 0 ? renewedAt : sentAt };
    } catch (error) {
      if (attempt.signal?.aborted) void backend.locks.release(name, attempt.lease).catch(() => undefined);
      attempt.signal?.throwIfAborted();
      const again = error instanceof RollcallError && (error.code === 'lock_held' || error.code === 'draining' || error.code === 'lock_lost');
      if (again && performance.now() + 1 < until) continue;
      if (!again) void backend.locks.release(name, attempt.lease).catch(() => undefined); // it may have been given to us, and nobody knows
      throw error;
    }
  }
}

/** Renews at a third of the time. It is lost when Redis says so, or when it has not been acknowledged for all of its time. */
async function keep(backend: Backend, name: string, lease: string, ttlMs: number, sentAt: number, over: AbortSignal, lose: (why: string) => void): Promise<void> {
  let goodUntil = sentAt + ttlMs - MARGIN_MS;
  let timer = setTimeout(lose, goodUntil - performance.now(), 'was not acknowledged for its whole time');
  try {
    while (!over.aborted) {
      await sleep(ttlMs / 3, over);
      const askedAt = performance.now();
      try {
        await backend.locks.renew(name, lease, ttlMs);
        goodUntil = askedAt + ttlMs - MARGIN_MS;
        clearTimeout(timer);
        timer = setTimeout(lose, goodUntil - performance.now(), 'was not acknowledged for its whole time');
      } catch (error) {
        if (!isPassing(error)) return lose((error as Error).message);
      }
    }
  } catch {
    // over
  } finally {
    if (over.aborted) clearTimeout(timer);
  }
}
