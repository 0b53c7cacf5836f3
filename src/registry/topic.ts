import { isDeparture, withinScope, type Change } from './change.js';
import type { Member } from './group.js';
import type { Home } from './home.js';
import type { WatchQuery } from './queries.js';
import { asksFor, inScope } from './scope.js';
import type { Ring } from './ring.js';
import type { Table } from './table.js';
import type { Frames } from './watch-frames.js';
import type { Watcher } from './watcher.js';

/** Changes that a watcher may be behind. One that is further behind does not read: it is ended, and may resume. */
const MAX_BEHIND = 1000;
/** Watchers served in one go; the others' turn, and everybody else's, comes between. */
const SERVED_AT_ONCE = 500;
const SNAPSHOT_FRAME = 1000;
/** Many who come at once are given the same bytes. */
const SNAPSHOT_KEPT_MS = 1000;

/** All watchers of one query, with the latest changes that concern it. */
export class Topic {
  readonly watchers = new Set<Watcher>();
  readonly #log: Change[] = [];
  /** Number of the first change in the log. */
  #first = 0;
  #joined: { from: number; end: number; bytes: Buffer } | undefined;
  #backlog: { ring: Ring; from: number; end: number; changes: Change[] } | undefined;
  #snapshot: { revision: string; at: number; frame: Buffer } | undefined;
  #serving = false;
  #again = false;

  constructor(
    readonly query: WatchQuery,
    readonly frames: Frames,
  ) {}

  /** Number that the next change of this topic will have. */
  get end() {
    return this.#first + this.#log.length;
  }

  includes(home: Home): boolean {
    return asksFor(this.query, home);
  }

  /** The frame of a change for this topic; undefined if it does not concern it. Who moves out of the topic leaves it. */
  frameOf(change: Change): Buffer | undefined {
    if (change.kind === undefined || change.known) return undefined;
    const told = withinScope(change, this.query.scope);
    if (this.includes(change.record)) return told === change ? (change.frame ??= this.frames.change(change)) : this.frames.change(told);
    if (change.from && !isDeparture(change) && this.includes(change.from)) return this.frames.moved(change, inScope(this.query.scope, change.record));
    return undefined;
  }

  /** Takes what concerns this topic. True if there was any. */
  take(changes: readonly Change[]): boolean {
    const mine = changes.filter((change) => this.frameOf(change) !== undefined);
    this.#log.push(...mine);
    if (this.#log.length > 2 * MAX_BEHIND) this.#first += this.#log.splice(0, this.#log.length - MAX_BEHIND).length;
    return mine.length > 0;
  }

  /** Everything from this number on is still here. */
  holds(from: number): boolean {
    return from >= this.#first;
  }

  /** Everything from this number on, as one piece, and the last change in it; undefined when some of it is gone. */
  since(from: number): { bytes: Buffer; last: string } | undefined {
    if (!this.holds(from)) return undefined;
    if (this.#joined?.from !== from || this.#joined.end !== this.end) {
      const frames = this.#log.slice(from - this.#first).map((change) => this.frameOf(change) as Buffer);
      this.#joined = { from, end: this.end, bytes: frames.length === 1 ? (frames[0] as Buffer) : Buffer.concat(frames) };
    }
    return { bytes: this.#joined.bytes, last: this.#log.at(-1)?.id ?? '' };
  }

  /** The frames of what concerns this topic in the ring, from this number on. Many come back at once with the same gap. */
  backlog(ring: Ring, from: number): Iterable<Buffer> {
    if (this.#backlog?.ring !== ring || this.#backlog.from !== from || this.#backlog.end !== ring.next) {
      this.#backlog = { ring, from, end: ring.next, changes: ring.since(from).filter((change) => this.frameOf(change) !== undefined) };
    }
    return mapped(this.#backlog.changes, (change) => this.frameOf(change) as Buffer);
  }

  /** Sends everybody what they lack, a few hundred at a time. */
  serve(queue = [...this.watchers]) {
    if (this.#serving) {
      this.#again = true;
      return;
    }
    this.#serving = true;
    this.#serveNext(queue, 0);
  }

  #serveNext(queue: Watcher[], from: number) {
    for (const watcher of queue.slice(from, from + SERVED_AT_ONCE)) watcher.pump();
    if (from + SERVED_AT_ONCE < queue.length) return void setImmediate(() => this.#serveNext(queue, from + SERVED_AT_ONCE));
    this.#serving = false;
    if (!this.#again) return;
    this.#again = false;
    this.serve();
  }

  /**
   * What stands in the log up to `revision`, in frames of at most 1,000 instances. Lapsed ones are in it, as they are in the
   * picture of those who watch already: their departure comes as an event, and so would a heartbeat that keeps them.
   */
  snapshot(table: Table, revision: string): Iterable<Buffer> {
    if (this.#snapshot?.revision === revision && performance.now() - this.#snapshot.at < SNAPSHOT_KEPT_MS) return [this.#snapshot.frame];
    const members = [...table.groups].filter((group) => this.includes(group)).flatMap((group) => [...group.members(), ...group.lapsed]);
    if (members.length > SNAPSHOT_FRAME) return this.#longSnapshot(members, revision);
    const frame = this.frames.snapshot(members, revision, true);
    this.#snapshot = { revision, at: performance.now(), frame };
    return [frame];
  }

  *#longSnapshot(members: Member[], revision: string) {
    for (let from = 0; from < members.length; from += SNAPSHOT_FRAME) {
      yield this.frames.snapshot(members.slice(from, from + SNAPSHOT_FRAME), revision, from + SNAPSHOT_FRAME >= members.length);
    }
  }
}

function* mapped<T, U>(items: readonly T[], make: (item: T) => U) {
  for (const item of items) yield make(item);
}
