import type { HeartbeatReply, Registration } from '../../contract/index.js';
import type { Locks } from '../../registry/locks.js';
import type { Discovery, Freshness, WatchQuery } from '../../registry/queries.js';
import type { Beat, Caller, Page, Registry, WatchMessage } from '../../registry/registry.js';

/** A registration that can be repeated as itself: its ids are fixed before it is first sent. */
export type Identified = Registration & { instanceId: string; incarnation: string };

/** What was registered, and how often to beat. */
export interface Announced {
  instanceId: string;
  incarnation: string;
  ttlSeconds: number;
  heartbeatIntervalMs: number;
  revision: string;
}

/** Whom to look for. */
export interface Search extends Discovery {
  /** Each is connected to now, and those that do not answer are left out. Over HTTP only. */
  healthCheck?: boolean;
}

/** Whose name stands in the log of changes where there is no token. */
export const CALLER: Caller = { name: 'redis-client' };

/** How a client reaches the registry: over HTTP, or straight to Redis. Every call has a time limit and rejects with a RollcallError. */
export interface Backend extends Registry {
  announce(registration: Identified): Promise<Announced>;
  /** One heartbeat. @throws {RollcallError} instance_not_found, stale_incarnation, and the passing ones. */
  beat(beat: Beat): Promise<HeartbeatReply>;
  discover(query: Search, need?: Freshness): Promise<Page>;
  /** `opened` is called when the stream is up, which may be long before there is something to tell. */
  watch(query: WatchQuery, from: string | undefined, signal: AbortSignal, opened?: () => void): AsyncIterable<WatchMessage>;
  readonly locks: Locks;
  close(): Promise<void>;
}
