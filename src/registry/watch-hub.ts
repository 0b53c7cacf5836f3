import type { Change } from './change.js';
import type { WatchQuery } from './queries.js';
import { revisionOf, type Position } from './revision.js';
import type { Table } from './table.js';
import { Topic } from './topic.js';
import type { Frames, Sink } from './watch-frames.js';
import { Watcher, type EndReason } from './watcher.js';

const TICK_MS = 1000;
/** Each watcher hears something this often, spread over the ticks: a bookmark if the position moved, else a comment. */
const TICKS_PER_BOOKMARK = 15;
/** Instances in one frame of `performance`. */
const PERFORMANCE_FRAME = 1000;

export interface WatchObserver {
  ended: (reason: EndReason) => void;
}

/** All watchers of this replica. Each change is written down once, whoever many are told of it. */
export class WatchHub {
  readonly #topics = new Map<string, Topic>();
  readonly #slots = Array.from({ length: TICKS_PER_BOOKMARK }, () => new Set<Watcher>());
  readonly #placeOf = new Map<Watcher, { topic: Topic; slot: number }>();
  #joined = 0;
  #tick = 0;
  #timer: NodeJS.Timeout | undefined;
  #ended = false;

  constructor(
    private readonly frames: Frames,
    private readonly observer: WatchObserver,
  ) {}

  get watching() {
    return this.#placeOf.size;
  }

  /** A topic for whoever is on the way: it is not one of its watchers before `join`. */
  topic(query: WatchQuery): Topic {
    return this.#topics.get(JSON.stringify(query)) ?? new Topic(query, this.frames);
  }

  /** Adds a watcher to the topic of its query; the caller begins it. Undefined once the hub has ended. */
  join(query: WatchQuery, sink: Sink): Watcher | undefined {
    if (this.#ended) return undefined;
    const topic = this.topic(query);
    this.#topics.set(JSON.stringify(query), topic);
    const watcher = new Watcher(topic, sink, (gone, reason) => {
      this.leave(gone);
      this.observer.ended(reason);
    });
    const slot = this.#joined++ % TICKS_PER_BOOKMARK;
    this.#slots[slot]?.add(watcher);
    this.#placeOf.set(watcher, { topic, slot });
    topic.watchers.add(watcher);
    return watcher;
  }

  /** Ends one on its way to be a watcher that takes nothing. */
  giveUp(sink: Sink) {
    sink.destroy();
    this.observer.ended('stuck');
  }

  leave(watcher: Watcher) {
    const place = this.#placeOf.get(watcher);
    if (!place) return;
    const { topic, slot } = place;
    this.#placeOf.delete(watcher);
    this.#slots[slot]?.delete(watcher);
    topic.watchers.delete(watcher);
    if (topic.watchers.size === 0) this.#topics.delete(JSON.stringify(topic.query));
  }

  /** Tells everybody what the log says now. */
  publish(changes: readonly Change[]) {
    if (changes.length === 0) return;
    for (const topic of this.#topics.values()) if (topic.take(changes)) topic.serve();
  }

  /** The log is another, or has a gap: everybody starts over. */
  restart(reason: string, table: Table) {
    const revision = revisionOf(table.position);
    for (const topic of this.#topics.values()) {
      for (const watcher of topic.watchers) {
        watcher.begin(chained([this.frames.reset(reason)], topic.snapshot(table, revision)), table.position.id);
      }
    }
  }

  /** The log goes on in another epoch: whoever has everything gets a position of it now, the others with their next reminder. */
  remindAll({ position }: Table) {
    const bookmark = this.frames.bookmark(revisionOf(position));
    for (const watcher of this.#placeOf.keys()) {
      watcher.told = undefined;
      this.#remind(watcher, bookmark, position);
    }
  }

  /** Starts the once-a-second round over the table in use. */
  start(table: () => Table | undefined) {
    this.#timer = setInterval(() => {
      const current = table();
      if (current) this.#round(current);
    }, TICK_MS);
  }

  /** Ends everybody cleanly, for good: the replica is shutting down. */
  end() {
    this.#ended = true;
    clearInterval(this.#timer);
    for (const watcher of [...this.#placeOf.keys()]) watcher.end('shutdown');
  }

  #round(table: Table) {
    for (const watcher of this.#placeOf.keys()) watcher.check();
    const bookmark = this.frames.bookmark(revisionOf(table.position));
    for (const watcher of this.#slots[this.#tick++ % TICKS_PER_BOOKMARK] ?? []) this.#remind(watcher, bookmark, table.position);
    const topics = [...this.#topics.values()].filter(({ query }) => query.performance);
    table.collectPerformance = topics.length > 0;
    if (table.performing.size > 0) this.#tellPerformance(topics, table);
  }

  #remind(watcher: Watcher, bookmark: Buffer, { id }: Position) {
    if (!watcher.allowed) return watcher.end('revoked');
    const moved = watcher.told !== id;
    if (watcher.offer(moved ? bookmark : this.frames.keepAlive) && moved) watcher.told = id;
  }

  #tellPerformance(topics: Topic[], table: Table) {
    const members = [...table.performing];
    table.performing.clear();
    for (const topic of topics) {
      const mine = members.filter(({ record, lapsed }) => !lapsed && topic.includes(record));
      for (let from = 0; from < mine.length; from += PERFORMANCE_FRAME) {
        const bytes = this.frames.performance(mine.slice(from, from + PERFORMANCE_FRAME));
        for (const watcher of topic.watchers) watcher.offer(bytes);
      }
    }
  }
}

function* chained<T>(...parts: Iterable<T>[]) {
  for (const part of parts) yield* part;
}
