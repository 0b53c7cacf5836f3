import type { Answer } from '../table/answer.js';
import type { Change } from '../log/change.js';
import type { GroupCount } from '../table/group.js';
import type { Home } from '../home.js';
import type { Discovery, Freshness, HistoryQuery, Poll, WatchQuery } from '../queries.js';
import type { Certainty, Operator, Registrar, Sought } from '../registry.js';
import type { Scope } from '../scope.js';
import type { Sink } from '../watch/frames.js';

export interface Discovered extends Certainty {
  /** Instances in the order of type, group, id. Its body is to be read at once: it follows the view. */
  answer: Answer;
  /** The last change that the answer takes into account. */
  revision: string;
}

export interface ListedGroups extends Certainty {
  groups: GroupCount[];
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
 * The registry as a replica serves it: the same promises as `Registry`, where answers and frames are bytes that are made once for all
 * who ask, and reads may be limited to what a token sees.
 */
export interface ServedRegistry extends Registrar, Operator {
  find(id: string, need?: Freshness): Promise<Sought>;
  /** What is live under a query. With `poll` it waits for another answer than the known one, and gives whatever there is then. */
  discover(query: Discovery, need?: Freshness, poll?: Poll): Promise<Discovered>;
  groups(need?: Freshness, scope?: Scope): Promise<ListedGroups>;
  /**
   * Begins a watch: a snapshot, or what came after the revision `from`, then every change as it comes, until the sink is closed.
   * Resolves when it has begun; rejects only before anything is written.
   */
  watch(query: WatchQuery, from: string | undefined, sink: Sink): Promise<void>;
  /** What happened, page by page. */
  history(query: HistoryQuery): Promise<History>;
  /** Where each id lives now, lapsed or not; undefined where it is unknown. */
  locate(ids: string[]): Promise<(Home | undefined)[]>;
}
