import { ulid } from 'ulid';
import type { EventsReply, GroupsReply, Heartbeat, HeartbeatReply, Instance, InstancePatch, Registration, Status } from '../../contract/index.js';
import type { WatchMessage } from '../../registry/registry.js';
import type { Freshness, WatchQuery } from '../../registry/queries.js';
import { DEFAULT_LIMIT, MAX_LIMIT, MAX_PROBED } from '../../contract/limits.js';
import { CALLER, type Announced, type Backend, type Search } from '../base/backend.js';
import { RollcallError } from '../base/errors.js';
import { linked } from '../base/linked.js';
import { follow } from './follow.js';
import { keepAlive } from './keep-alive.js';
import { withLock, type Lock, type LockOptions } from './lock.js';
import type { Settings } from '../base/options.js';

/** Of `type` and `group` everything, or what of it has one of these statuses and all of these labels. */
export interface ListQuery {
  type?: string;
  group?: string;
  status?: Status | readonly Status[];
  labels?: Record<string, string>;
  /** Those too that left lately, marked `departed`. */
  offline?: boolean;
}

export interface DiscoverOptions extends Omit<ListQuery, 'type' | 'group' | 'offline'> {
  /** Connects to each now, and leaves out who does not answer. */
  healthCheck?: boolean;
}

/** What one heartbeat may say. */
export type BeatOptions = Heartbeat;

/**
 * Every verb of the registry, over HTTP or straight to Redis. Each call has a time limit (`timeoutMs`), is repeated within it where that can
 * help, and rejects with a RollcallError. A registration is repeated under the ids that it was first sent with.
 */
export class Client {
  readonly #beating = new Map<string, AbortController>();
  readonly #closed = new AbortController();

  constructor(
    readonly settings: Settings,
    readonly backend: Backend,
  ) {}

  /**
   * Registers an instance, by default for `ttlSeconds` of the client. Ids that are left out are made here, once.
   * @throws {RollcallError} invalid_request naming the field; forbidden; the passing ones.
   */
  register(registration: Registration): Promise<Announced> {
    const { instanceId = ulid(), incarnation = ulid(), ttlSeconds = this.settings.ttlSeconds, ...rest } = registration;
    return this.backend.announce({ ...rest, instanceId, incarnation, ttlSeconds });
  }

  /** Renews a lease, and may say how the instance is. @throws {RollcallError} instance_not_found: register again; stale_incarnation: stop. */
  heartbeat(instanceId: string, beat: BeatOptions = {}): Promise<HeartbeatReply> {
    return this.backend.beat({ instanceId, ...beat });
  }

  /** Everybody in this type and group, or whom of them the options mean, on as many pages as it takes. @throws {RollcallError} */
  discover(type: string, group: string, { healthCheck = false, ...query }: DiscoverOptions = {}): Promise<Instance[]> {
    return this.#pages({ ...searchOf({ type, group, ...query }), ...(healthCheck && { healthCheck, limit: MAX_PROBED }) });
  }

  /** Everybody whom the query means, on as many pages as it takes: what changes between two of them may be missed. @throws {RollcallError} */
  list(query: ListQuery = {}, need: Freshness = {}): Promise<Instance[]> {
    return this.#pages(searchOf(query), need);
  }

  async #pages(search: Search, need: Freshness = {}): Promise<Instance[]> {
    const all: Instance[] = [];
    for (let after: string | undefined; ; ) {
      const { instances, next } = await this.backend.discover({ ...search, ...(after !== undefined && { after }) }, need);
      all.push(...instances);
      if (next === undefined) return all;
      after = next;
    }
  }

  /** A live instance, or undefined. @throws {RollcallError} */
  async get(instanceId: string, need: Freshness = {}): Promise<Instance | undefined> {
    return (await this.backend.find(instanceId, need)).found?.instance;
  }

  /** What is counted of each group. @throws {RollcallError} */
  async groups(): Promise<GroupsReply['groups']> {
    return (await this.backend.groups()).groups;
  }

  /** The latest changes, latest first. `limit` is from 1 to 1,000. @throws {RollcallError} */
  history(query: { type?: string; group?: string; instanceId?: string; limit?: number } = {}): Promise<EventsReply> {
    return this.backend.history({ limit: 100, ...query });
  }

  /** Changes a live instance without renewing its lease; `cordoned` needs a token with the verb admin. @throws {RollcallError} */
  async patch(instanceId: string, patch: InstancePatch): Promise<Instance> {
    return (await this.backend.patch(instanceId, patch, CALLER)).instance;
  }

  /** Without a `customState` it stays; null clears it. @throws {RollcallError} */
  updateStatus(instanceId: string, status: Status, customState?: string | null): Promise<Instance> {
    return this.patch(instanceId, { status, ...(customState !== undefined && { customState }) });
  }

  /** Removes an instance; with `incarnation` only that process of it. Resolves to false when it is gone already. @throws {RollcallError} */
  async remove(instanceId: string, type?: string, group?: string, incarnation?: string): Promise<boolean> {
    try {
      await this.backend.remove(instanceId, { type, group, incarnation }, CALLER);
      return true;
    } catch (error) {
      if (error instanceof RollcallError && error.code === 'instance_not_found') return false;
      throw error;
    }
  }

  /** Ends the hold of a group. False when it was not held. Needs a token with the verb admin. @throws {RollcallError} */
  release(type: string, group: string): Promise<boolean> {
    return this.backend.release({ type, group }, CALLER);
  }

  /**
   * Holds a lock while `work` runs: renewed, and given back at the end. `work` is told by `lock.signal` when it is lost, and sends `lock.fencingToken`
   * with what it writes: no lock on Redis is certain without.
   * @throws {RollcallError} lock_held, when it was not free within `waitMs` (0 unless given); lock_lost, when it was lost before `work` was over; what `work` throws.
   */
  lock<T>(name: string, options: LockOptions, work: (lock: Lock) => Promise<T> | T): Promise<T> {
    return withLock(this.backend, name, options, work);
  }

  /** A snapshot, then every change, for ever: it comes back by itself, where it was. End it with `break`, or the signal. */
  async *watch(query: WatchQuery = {}, { signal }: { signal?: AbortSignal } = {}): AsyncGenerator<WatchMessage> {
    const either = linked([signal, this.#closed.signal]);
    try {
      yield* follow(this.backend, query, either.signal, this.settings.log);
    } finally {
      either.over();
    }
  }

  /**
   * Beats for this instance as often as the gateway asks, until it is unknown, another process has its id, or `stopAutoHeartbeat`. For a server of one's
   * own `join` does more: it registers again.
   */
  startAutoHeartbeat(instanceId: string, beat: () => BeatOptions = () => ({})): void {
    if (this.#beating.has(instanceId)) return;
    const stop = new AbortController();
    this.#beating.set(instanceId, stop);
    const { backend, settings } = this;
    void keepAlive({ backend, settings, instanceId, beat, signal: stop.signal }).then((end) => {
      if (this.#beating.get(instanceId) === stop) this.#beating.delete(instanceId);
      if (end !== 'stopped') settings.log.warn({ instanceId, reason: end }, 'heartbeats ended: the registry does not know this instance as ours');
    });
  }

  /** Of this instance, or of all. */
  stopAutoHeartbeat(instanceId?: string): void {
    for (const [id, stop] of this.#beating) {
      if (instanceId !== undefined && id !== instanceId) continue;
      stop.abort();
      this.#beating.delete(id);
    }
  }

  /** Ends watches and heartbeats, and connections to Redis. Nobody is removed: a session leaves by `leave`. */
  async close(): Promise<void> {
    this.#closed.abort();
    this.stopAutoHeartbeat();
    await this.backend.close();
  }
}

function searchOf({ type, group, status, labels, offline }: ListQuery): Search {
  const limit = type !== undefined && group !== undefined ? MAX_LIMIT : DEFAULT_LIMIT;
  const statuses = typeof status === 'string' ? [status] : status && [...status];
  return { limit, ...(type !== undefined && { type }), ...(group !== undefined && { group }), ...(statuses && { statuses }), ...(labels && { labels }), ...(offline && { offline }) };
}
