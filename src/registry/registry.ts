import type { Bookmark, Change, DiscoverReply, EventsReply, GroupsReply, Heartbeat, Instance, InstancePatch, PerformanceFrame } from '../contract/index.js';
import type { ChangeKind, Port, ProblemCode, Registration, Reset, Snapshot, Status } from '../contract/index.js';
import type { Home } from './home.js';
import type { Discovery, Freshness, HistoryQuery, WatchQuery } from './queries.js';

/*
 * The register of what is alive, as small interfaces of plain data: what a client speaks over HTTP or straight to Redis, and what a
 * replica serves. test/conformance holds every implementation to them.
 *
 * A lease is renewed by `register` and `heartbeat` only, and its end is decided by the store's clock alone. Between the
 * end of a lease and its one departure event a heartbeat still renews it; after the event the id is unknown. Every verb
 * may be repeated: a call that timed out may still have happened.
 *
 * Every method rejects with a RegistryError; `store_unavailable` when the store did not answer in time, in which case a
 * write may or may not have happened. Reads answer from memory while the store is away, for as long as they may.
 */

/** Who calls: the token's name stands in the events it causes. */
export interface Caller {
  name: string;
}

/** A registration with nothing left open: defaults filled, addresses observed, ids minted. */
export interface CompleteRegistration extends Omit<Registration, 'instanceId' | 'incarnation' | 'group' | 'ports' | 'status' | 'ttlSeconds'> {
  instanceId: string;
  incarnation: string;
  group: string;
  ports: Port[];
  status: Status;
  ttlSeconds: number;
}

export interface Registered {
  /** `created`: unknown before. `replaced`: another incarnation or home before. `repeated`: the same incarnation again. `known`: one of these two,
   * where it is not told which (over HTTP). */
  outcome: 'created' | 'replaced' | 'repeated' | 'known';
  revision: string;
}

/** A heartbeat for one id. With `home` it counts only for an instance that lives there. */
export interface Beat extends Heartbeat {
  instanceId: string;
  home?: Home;
}

/** It changes more than rides the beats. */
export const isPatch = ({ status, customState, labels }: Beat) => status !== undefined || customState !== undefined || labels !== undefined;

export type BeatResult =
  | { status: 200; revision: string; expiresAtMs: number; ttlMs: number }
  | { status: 400 | 403 | 404 | 409 | 503; code: ProblemCode; detail?: string; /** Of a store that says 404 or 409. */ epoch?: string };

/** Whom a change is meant for: nobody else is changed. */
export interface PatchGuard {
  home?: Home | undefined;
  incarnation?: string | undefined;
}

/** Whom a removal is meant for: nobody else is removed. */
export interface RemoveGuard {
  type?: string | undefined;
  group?: string | undefined;
  incarnation?: string | undefined;
}

export interface Found {
  instance: Instance;
  /** Position of its last change. */
  revision: string;
}

/** What is not certain of an answer. */
export interface Certainty {
  /** How old the answer is, in ms, if that is over a second or it is known to lack something. */
  staleMs: number | undefined;
  /** For how much longer servers are coming back that the store has forgotten; undefined when it has forgotten nobody. */
  recoveringMs: number | undefined;
}

/** A live instance, or none. */
export interface Sought extends Certainty {
  found: Found | undefined;
}

/** Instances in the order of type, group, id. */
export interface Page extends DiscoverReply, Certainty {
  /** The same content has the same tag on every replica. */
  etag: string;
  /** The last change that the answer takes into account. */
  revision: string;
}

export interface CountedGroups extends GroupsReply, Certainty {}

/** One frame of a watch. `id` is a position to resume from: only frames that complete one carry it. */
export type WatchMessage = { id?: string } & (
  | { event: 'snapshot'; data: Snapshot }
  | { event: ChangeKind; data: Change }
  | { event: 'bookmark'; data: Bookmark }
  | { event: 'reset'; data: Reset }
  | { event: 'performance'; data: PerformanceFrame }
);

/** Who is alive says so here. */
export interface Registrar {
  /**
   * Upserts by id. The same incarnation again only renews (or updates, if its content differs); another one replaces.
   * With `from` it rejects with `forbidden` unless the id lives there now (null: nowhere).
   */
  register(registration: CompleteRegistration, caller: Caller, from?: Home | null): Promise<Registered>;
  /** Renews in order; one result per beat, in order. Rejects only for what concerns all of them. */
  heartbeat(beats: Beat[]): Promise<BeatResult[]>;
  /** Changes a live instance without renewing it. Rejects: instance_not_found, stale_incarnation, invalid_request. */
  patch(id: string, patch: InstancePatch, caller: Caller, guard?: PatchGuard): Promise<Found>;
  /** Rejects: instance_not_found (also when type or group is not its own), stale_incarnation. Returns the revision. */
  remove(id: string, guard: RemoveGuard, caller: Caller): Promise<string>;
}

/** Who looks for somebody asks here. */
export interface Directory {
  find(id: string, need?: Freshness): Promise<Sought>;
  discover(query: Discovery, need?: Freshness): Promise<Page>;
  groups(need?: Freshness): Promise<CountedGroups>;
}

/** Who follows what changes. */
export interface Watchable {
  /** A snapshot, or what came after the revision `from`, then every change as it comes, until `signal` aborts or the registry ends it. */
  watch(query: WatchQuery, from: string | undefined, signal: AbortSignal): AsyncIterable<WatchMessage>;
  /** What happened, page by page. */
  history(query: HistoryQuery): Promise<EventsReply>;
}

/** What people do by hand. */
export interface Operator {
  /** Ends the hold of a group before its time: those past their lease leave. False when it is not held. */
  release(home: Home, caller: Caller): Promise<boolean>;
}

export interface Registry extends Registrar, Directory, Watchable, Operator {}
