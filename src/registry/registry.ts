import type { Heartbeat, Instance, InstancePatch, Port, ProblemCode, Registration, Status } from '../contract/index.js';
import type { Answer } from './answer.js';
import type { Change } from './change.js';
import type { GroupCount } from './group.js';
import type { Home } from './home.js';
import type { Discovery, Freshness, HistoryQuery, Poll, WatchQuery } from './queries.js';
import type { Scope } from './scope.js';
import type { Sink } from './watch-frames.js';

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
  /** `created`: unknown before. `replaced`: another incarnation or home before. `repeated`: the same incarnation again. */
  outcome: 'created' | 'replaced' | 'repeated';
  revision: string;
}

/** A heartbeat for one id. With `home` it counts only for an instance that lives there. */
export interface Beat extends Heartbeat {
  instanceId: string;
  home?: Home;
}

export type BeatResult =
  | { status: 200; revision: string; expiresAtMs: number; ttlMs: number }
  | { status: 400 | 403 | 404 | 409 | 503; code: ProblemCode; detail?: string; /** Of a store that says 404 or 409. */ epoch?: string };

export interface RemoveGuard {
  type?: string;
  group?: string;
  incarnation?: string;
}

export interface Discovered {
  /** Instances in the order of type, group, id. Its body is to be read at once: it follows the view. */
  answer: Answer;
  /** The last change that the answer takes into account. */
  revision: string;
  /** How old the answer is, in ms, if that is over a second or it is known to lack something. */
  staleMs: number | undefined;
  /** For how much longer servers are coming back that the store has forgotten; undefined when it has forgotten nobody. */
  recoveringMs: number | undefined;
}

export interface History {
  epoch: string;
  changes: Change[];
  /** Id to go on from, in the same direction; undefined at the end of the log. */
  next: string | undefined;
  /** Changes after `after` are no longer in the log: it was trimmed. */
  gap: boolean;
}

/**
 * The register of what is alive. One interface: over Redis, and limited to what a token may see.
 *
 * A lease is renewed by `register` and `heartbeat` only, and its end is decided by the store's clock alone. Between the
 * end of a lease and its one departure event a heartbeat still renews it; after the event the id is unknown. Every verb
 * may be repeated: a call that timed out may still have happened.
 *
 * Every method rejects with a RegistryError; `store_unavailable` when the store did not answer in time, in which case a
 * write may or may not have happened. Reads answer from memory while the store is away, for as long as they may.
 */
export interface Registry {
  /**
   * Upserts by id. The same incarnation again only renews (or updates, if its content differs); another one replaces.
   * With `from` it rejects with `forbidden` unless the id lives there now (null: nowhere).
   */
  register(registration: CompleteRegistration, caller: Caller, from?: Home | null): Promise<Registered>;
  /** Renews in order; one result per beat, in order. Rejects only for what concerns all of them. */
  heartbeat(beats: Beat[]): Promise<BeatResult[]>;
  /** Changes a live instance without renewing it. Rejects: instance_not_found, invalid_request. */
  patch(id: string, patch: InstancePatch, caller: Caller, home?: Home): Promise<Found>;
  /** Rejects: instance_not_found (also when type or group is not its own), stale_incarnation. Returns the revision. */
  remove(id: string, guard: RemoveGuard, caller: Caller): Promise<string>;
  /** A live instance, or undefined. */
  find(id: string, need?: Freshness): Promise<Found | undefined>;
  /** What is live under a query. With `poll` it waits for another answer than the known one, and gives whatever there is then. */
  discover(query: Discovery, need?: Freshness, poll?: Poll): Promise<Discovered>;
  groups(need?: Freshness, scope?: Scope): Promise<GroupCount[]>;
  /**
   * Begins a watch: a snapshot, or what came after the revision `from`, then every change as it comes, until the sink is closed.
   * Resolves when it has begun; rejects only before anything is written.
   */
  watch(query: WatchQuery, from: string | undefined, sink: Sink): Promise<void>;
  /** What happened, page by page. */
  history(query: HistoryQuery): Promise<History>;
  /** Ends the hold of a group before its time: those past their lease leave. False when it is not held. */
  release(home: Home, caller: Caller): Promise<boolean>;
  /** Where each id lives now, lapsed or not; undefined where it is unknown. */
  locate(ids: string[]): Promise<(Home | undefined)[]>;
}

export interface Found {
  instance: Instance;
  /** Position of its last change. */
  revision: string;
}

export interface SweepResult {
  /** `<type>:<group>:<id>` of those evicted by this call. */
  evicted: string[];
  /** Leases found to end later, by grace. */
  rescored: number;
  /** Ended leases that stay, because their group is held: the next call passes them by. */
  held: number;
  /** There may be more to evict. */
  more: boolean;
}

/** What jobs do to the store, on one replica at a time. Every call may be repeated or run twice. */
export interface Maintenance {
  /** Evicts a bounded batch of ended leases, those after the first `skip`. */
  sweep(skip?: number): Promise<SweepResult>;
  /** Takes the turn to reconcile, for as long as `everyMs`. False: another replica had it. */
  claimReconcile(everyMs: number): Promise<boolean>;
  /** Compares what the store's documented keys say with the leases, in small steps. */
  reconcile(signal: AbortSignal): Promise<{ removed: number; adopted: string[] }>;
}
