import { isDeparture, withinScope, type Change } from '../log/change.js';
import type { Group } from '../table/group.js';
import type { Home } from '../home.js';
import type { WatchQuery } from '../queries.js';
import { RecentFrames } from './recent-frames.js';
import { asksFor, inScope } from '../scope.js';
import type { Ring } from '../log/ring.js';
import { Snapshot } from './snapshot.js';
import type { Table } from '../table/table.js';
import type { Frames } from './frames.js';
import { PIECE_BYTES, type Missed, type Watcher } from './watcher.js';

/** Changes that a watcher may be behind. One that is further behind does not read: it is ended, and may resume. */
const MAX_BEHIND = 1000;
/** Changes kept for those who read, and whose turn has not come yet. */
const MAX_WAITING = 20_000;
/** Who comes within this time after another is given the same bytes, and what came since. */
const SNAPSHOT_KEPT_MS = 1000;

/** All watchers of one query, with the latest changes that concern it. */
export class Topic {
  readonly watchers = new Set<Watcher>();
  readonly #log: Change[] = [];
  /** Number of the first change in the log. */
  #first = 0;
  #trimAbove = 2 * MAX_BEHIND;
  #joined: { from: number; end: number; missed: Missed } | undefined;
  #backlog: { ring: Ring; from: number; end: number; changes: Change[] } | undefined;
  #snapshot: Snapshot | undefined;

  constructor(
    readonly query: WatchQuery,
    readonly frames: Frames,
    private readonly recent = new RecentFrames(frames),
  ) {}

  /** Number that the next change of this topic will have. */
  get end() {
    return this.#first + this.#log.length;
  }

  includes(home: Home): boolean {
    return asksFor(this.query, home);
  }

  /** Whether watchers of this topic are told of it. Who moves out of the topic leaves it. */
  concerns({ kind, known, record, from }: Change): boolean {
    if (kind === undefined || known) return false;
    return this.includes(record) || (from !== undefined && !isDeparture({ kind }) && this.includes(from));
  }

  /** The frame of a change for this topic; undefined if it does not concern it. */
  frameOf(change: Change): Buffer | undefined {
    if (!this.concerns(change)) return undefined;
    if (!this.includes(change.record)) return this.frames.moved(change, inScope(this.query.scope, change.record));
    const told = withinScope(change, this.query.scope);
    return told === change ? this.recent.of(change) : this.frames.change(told);
  }

  /** Takes what concerns this topic. True if there was any. */
  take(changes: readonly Change[]): boolean {
    const before = this.end;
    for (const change of changes) if (this.concerns(change)) this.#log.push(change);
    if (this.#log.length > this.#trimAbove) this.#trim();
    return this.end > before;
  }

  /** Forgets what only those who do not read have not been sent. */
  #trim() {
    let keep = this.end - MAX_BEHIND;
    for (const { reading, cursor } of this.watchers) if (reading && cursor < keep) keep = cursor;
    keep = Math.max(keep, this.end - MAX_WAITING, this.#first);
    this.#log.splice(0, keep - this.#first);
    this.#first = keep;
    this.#trimAbove = this.#log.length + MAX_BEHIND;
  }

  /** Everything from this number on is still here. */
  holds(from: number): boolean {
    return from >= this.#first;
  }

  /** What follows from this number on, as one piece; undefined when some of it is gone. */
  since(from: number): Missed | undefined {
    if (!this.holds(from)) return undefined;
    if (this.#joined?.from !== from || this.#joined.end !== this.end) {
      const frames: Buffer[] = [];
      let [bytes, at] = [0, from - this.#first];
      while (at < this.#log.length && bytes < PIECE_BYTES) {
        const frame = this.frameOf(this.#log[at++] as Change) as Buffer;
        frames.push(frame);
        bytes += frame.length;
      }
      const missed = { bytes: frames.length === 1 ? (frames[0] as Buffer) : Buffer.concat(frames), last: this.#log[at - 1]?.id ?? '', next: this.#first + at };
      this.#joined = { from, end: this.end, missed };
    }
    return this.#joined.missed;
  }

  /** The frames of what concerns this topic in the ring, from this number on. Many come back at once with the same gap. */
  backlog(ring: Ring, from: number): Iterable<Buffer> {
    if (this.#backlog?.ring !== ring || this.#backlog.from !== from || this.#backlog.end !== ring.next) {
      this.#backlog = { ring, from, end: ring.next, changes: ring.since(from).filter((change) => this.concerns(change)) };
    }
    return mapped(this.#backlog.changes, (change) => this.frameOf(change) as Buffer);
  }

  /**
   * What stands in the log now, or a moment ago. Lapsed ones are in it, as they are in the
   * picture of those who watch already: their departure comes as an event, and so would a heartbeat that keeps them.
   */
  snapshot(table: Table): Snapshot {
    const kept = this.#snapshot;
    if (kept?.table === table && kept.epoch === table.position.epoch && this.holds(kept.cursor) && performance.now() - kept.madeAt < SNAPSHOT_KEPT_MS) return kept;
    const members = this.#groups(table).flatMap((group) => [...group.members(), ...group.lapsed]);
    return (this.#snapshot = new Snapshot(table, members, this.end, this.frames));
  }

  /** Drops what is too old for who comes now: a snapshot holds the records of those that have left since. */
  forget() {
    if (this.#snapshot && performance.now() - this.#snapshot.madeAt >= SNAPSHOT_KEPT_MS) this.#snapshot = undefined;
    this.#backlog = undefined;
    this.#joined = undefined;
  }

  #groups({ groups }: Table): Group[] {
    const { type, group } = this.query;
    const one = type !== undefined && group !== undefined ? [groups.get({ type, group })] : [...groups];
    return one.filter((home) => home !== undefined && this.includes(home)) as Group[];
  }
}

function* mapped<T, U>(items: readonly T[], make: (item: T) => U) {
  for (const item of items) yield make(item);
}
