import type { HeartbeatReply, Instance, Registration } from '../../contract/index.js';
import type { Locks } from '../../registry/locks.js';
import type { Beat, Registry } from '../../registry/registry.js';

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

/** Whom to probe: everything of a type and group, less what does not answer. */
export interface ProbeQuery {
  type: string;
  group: string;
}

/** How a client reaches the registry: over HTTP, or straight to Redis. Every call has a time limit and rejects with a RollcallError. */
export interface Backend extends Registry {
  announce(registration: Identified): Promise<Announced>;
  /** One heartbeat. @throws {RollcallError} instance_not_found, stale_incarnation, and the passing ones. */
  beat(beat: Beat): Promise<HeartbeatReply>;
  /** Each instance is connected to now; those that do not answer are left out. */
  healthy(query: ProbeQuery): Promise<Instance[]>;
  readonly locks: Locks;
  close(): Promise<void>;
}
