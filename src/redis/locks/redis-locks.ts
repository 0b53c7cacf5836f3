import type { LockReply, LockState } from '../../contract/index.js';
import { RegistryError } from '../../registry/errors.js';
import { random32 } from '../../registry/ids.js';
import type { LockAttempt, Locks } from '../../registry/locks.js';
import type { Connection } from '../connect/connection.js';
import { inTime } from '../connect/deadline.js';
import { storeUnavailable } from '../connect/store-error.js';
import type { Verb } from '../scripts/scripts.js';
import type { Source } from '../scripts/store.js';
import { Waiters } from './waiters.js';

/** Who waits asks again after so long at the latest, in ms: less than lua/include/lockqueue.lua counts it as waiting. */
const ASK_EVERY_MS = 1000;
/** Behind the end of the lock that is waited for, so that it has ended by then. */
const BEHIND_MS = 5;

const iso = (ms: unknown) => new Date(Number(ms)).toISOString();
const lost = (name: string) => new RegistryError('lock_lost', `the lock '${name}' is not held by this lease: it ended, or was given back`);

/** Locks over Redis, a script for each verb. `waiting` is a connection of its own, to be woken on. */
export class RedisLocks implements Locks {
  readonly #name = String(random32());
  readonly #waiters: Waiters;

  constructor(
    private readonly store: Source,
    waiting: Connection,
  ) {
    this.#waiters = new Waiters(waiting, store.keys.lockWake + this.#name);
  }

  async acquire(name: string, { owner, ttlMs, lease, waitMs, signal }: LockAttempt): Promise<LockReply> {
    const until = performance.now() + waitMs;
    for (;;) {
      if (signal?.aborted || this.#waiters.ended) throw await this.#givenUp(name, lease, waitMs);
      const left = until - performance.now();
      const waits = left > 0;
      const [code, said, endMs, leftMs, before] = await this.#run('lock', name, [lease, owner, ttlMs, waits ? '1' : '', this.#name]);
      if (code === 201) return { lease, fencingToken: Number(said), expiresAt: iso(endMs) };
      if (!waits) {
        await this.#leaveQueue(name, lease, waitMs);
        throw new RegistryError('lock_held', heldBy(name, String(said), iso(endMs)));
      }
      const mine = before === 0 && Number(leftMs) > 0 ? Number(leftMs) + BEHIND_MS : ASK_EVERY_MS;
      await this.#waiters.turn(lease, Math.min(left, mine, ASK_EVERY_MS * (0.8 + Math.random() / 5)), signal);
    }
  }

  async renew(name: string, lease: string, ttlMs: number): Promise<LockReply> {
    const [code, token, endMs] = await this.#run('renew', name, [lease, ttlMs]);
    if (code !== 200) throw lost(name);
    return { lease, fencingToken: Number(token), expiresAt: iso(endMs) };
  }

  async release(name: string, lease: string): Promise<void> {
    const [code] = await this.#run('unlock', name, [lease, name, '']);
    if (code !== 204) throw lost(name);
  }

  async look(name: string): Promise<LockState> {
    const { connection, keys } = this.store;
    const [held, queue] = keys.lock(name);
    const pipeline = connection.pipeline().hmget(held, 'owner', 'token').pexpiretime(held).zcard(queue);
    const [[error, record], [, endMs], [, waiting]] = (await inTime(pipeline.exec()).catch((reason: unknown) => Promise.reject(storeUnavailable(reason)))) as [[Error | null, (string | null)[]], [null, number], [null, number]];
    if (error) throw storeUnavailable(error);
    const [owner, token] = record;
    if (owner === null || owner === undefined) return { held: false, waiting };
    return { held: true, owner, fencingToken: Number(token), expiresAt: iso(endMs), waiting };
  }

  /** Whoever waits here is told to wait elsewhere. */
  end() {
    this.#waiters.end();
  }

  /** The caller has gone, or this replica goes: what it did not get is not taken for it now. */
  async #givenUp(name: string, lease: string, waitMs: number): Promise<RegistryError> {
    await this.#leaveQueue(name, lease, waitMs);
    return new RegistryError('draining', 'this replica is shutting down: wait at another');
  }

  async #leaveQueue(name: string, lease: string, waitMs: number) {
    if (waitMs > 0) await this.#run('unlock', name, [lease, name, this.#name]).catch(() => undefined); // it is passed over 3 s later all the same
  }

  async #run(verb: Verb, name: string, args: (string | number)[]): Promise<(string | number)[]> {
    const { connection, keys, scripts } = this.store;
    try {
      return (await inTime(scripts.run(connection, verb, args, keys.lock(name)))) as (string | number)[];
    } catch (error) {
      throw storeUnavailable(error);
    }
  }
}

const heldBy = (name: string, owner: string, until: string) =>
  owner === '' ? `others wait for the lock '${name}': its turn is theirs` : `the lock '${name}' is held by '${owner}' until ${until} at the latest, unless it is renewed`;
