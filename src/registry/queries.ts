import type { ChangeKind, Status } from '../contract/index.js';
import type { Position } from './revision.js';
import type { Scope } from './scope.js';

export interface Discovery {
  type?: string;
  group?: string;
  /** Any of these; all when absent. */
  statuses?: Status[];
  /** Every one of these. */
  labels?: Record<string, string>;
  /** Only what these patterns allow. */
  scope?: Scope;
  /** `<type>:<group>:<id>`: start behind this one. */
  after?: string;
  /** Those too that left lately, marked `departed`. */
  offline?: boolean;
  limit: number;
  /** Bytes of records, where a page is to end sooner than others do. */
  pageBytes?: number;
}

/** What an answer must take into account. By default it is what this replica knows: as a rule that is a few milliseconds old. */
export interface Freshness {
  /** At least the log up to this revision. One of another epoch is treated as `strong`. */
  minRevision?: string;
  /** Everything that was acknowledged anywhere before this call. */
  strong?: boolean;
}

/** Waits for an answer that the caller does not know yet. */
export interface Poll {
  isKnown: (etag: string) => boolean;
  waitMs: number;
  /** The caller has gone. */
  signal: AbortSignal;
}

/** Whom to watch. */
export interface WatchQuery {
  type?: string;
  group?: string;
  scope?: Scope;
  /** Tell of `performance` too, at most once a second per instance. */
  performance?: boolean;
}

export interface HistoryQuery {
  type?: string;
  group?: string;
  instanceId?: string;
  kinds?: ChangeKind[];
  scope?: Scope;
  /** Only what came after this position, oldest first … */
  after?: Position;
  /** … or what came before it, latest first. With neither: the latest. */
  before?: Position;
  limit: number;
}
