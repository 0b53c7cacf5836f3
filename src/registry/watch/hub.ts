import type { Change } from '../log/change.js';
import { homeKey, type Home } from '../home.js';
import { tellPerformance } from './performance.js';
import { Pumps } from './pumps.js';
import type { WatchQuery } from '../queries.js';
import { RecentFrames } from './recent-frames.js';
import { revisionOf, type Position } from '../revision.js';
import type { Table } from '../table/table.js';
import { Topic } from './topic.js';
import type { Frames, Sink } from './frames.js';
import { Watcher, type EndReason, type Start } from './watcher.js';

const TICK_MS = 1000;
/** Each watcher hears something this often, spread over the ticks: a bookmark if the position moved, else a comment. */
const TICKS_PER_BOOKMARK = 15;
/** Watchers reminded in one go. */
const REMINDED_AT_ONCE = 128;

export interface WatchObserver {
  ended: (reason: EndReason) => void;
}

/** All watchers of this replica. Each change is written down once, whoever many are told of it. */
export class WatchHub {
  readonly #topics = new Map<string, Topic>();
  /** By the home they are of, `*` for any type or group: a change is shown only to the topics that it may concern. */
  readonly #byHome = new Map<string, Set<Topic>>();
  readonly #slots = Array.from({ length: TICKS_PER_BOOKMARK }, () => new Set<Watcher>());
  readonly #placeOf = new Map<Watcher, { topic: Topic; slot: number }>();
  readonly #pumps = new Pumps();
  readonly #recent: RecentFrames;
  #table: () => Table | undefined = () => undefined;
  #joined = 0;
  #tick = 0;
  #timer: NodeJS.Timeout | undefined;
  #ended = false;

  constructor(
    private readonly frames: Frames,
    private readonly observer: WatchObserver,
  ) {
    this.#recent = new RecentFrames(frames);
  }

  get watching() {
    return this.#placeOf.size;
  }

  /** A topic for whoever is on the way: it is not one of its watchers before `join`. */
  topic(query: WatchQuery): Topic {
    return this.#topics.get(JSON.stringify(query)) ?? new Topic(query, this.frames, this.#recent);
  }

  /** Adds a watcher to the topic of its query; the caller begins it. Undefined once the hub has ended. */
  join(query: WatchQuery, sink: Sink): { watcher: Watcher; topic: Topic } | undefined {
    if (this.#ended) return undefined;
    const topic = this.topic(query);
    this.#topics.set(JSON.stringify(query), topic);
    const key = keyOf(query.type, query.group);
    this.#byHome.set(key, (this.#byHome.get(key) ?? new Set()).add(topic));
    const onEnd = (gone: Watcher, reason: EndReason) => {
      this.leave(gone);
      this.observer.ended(reason);
    };
    const watcher = new Watcher(topic, sink, onEnd, this.#pumps.add);
    const slot = this.#joined++ % TICKS_PER_BOOKMARK;
    this.#slots[slot]?.add(watcher);
    this.#placeOf.set(watcher, { topic, slot });
    topic.watchers.add(watcher);
    return { watcher, topic };
  }

  /** What stands now, behind these first frames, as the beginning of a watcher. */
  snapshot(topic: Topic, first: Buffer[] = []): Start | undefined {
    const table = this.#table();
    if (!table) return undefined;
    const snapshot = topic.snapshot(table);
    return { prelude: chained(first, snapshot), cursor: snapshot.cursor, told: snapshot.told, cost: snapshot.takeCost() };
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
    this.#pumps.forget(watcher);
    this.#slots[slot]?.delete(watcher);
    topic.watchers.delete(watcher);
    if (topic.watchers.size > 0) return;
    this.#topics.delete(JSON.stringify(topic.query));
    const key = keyOf(topic.query.type, topic.query.group);
    const ofHome = this.#byHome.get(key);
    if (ofHome?.delete(topic) && ofHome.size === 0) this.#byHome.delete(key);
  }

  /** Tells everybody what the log says now. */
  publish(changes: readonly Change[]) {
    const concerned = new Map<Topic, Change[]>();
    for (const change of changes) {
      for (const topic of this.#topicsOf(change.record, change.from)) {
        const mine = concerned.get(topic);
        if (mine) mine.push(change);
        else concerned.set(topic, [change]);
      }
    }
    for (const [topic, mine] of concerned) if (topic.take(mine)) for (const watcher of topic.watchers) this.#pumps.add(watcher);
    if (concerned.size > 0) this.#pumps.turn();
  }

  /** The log is another, or has a gap: everybody starts over, in turn. */
  restart(reason: string) {
    const reset = this.frames.reset(reason);
    for (const [watcher, { topic }] of this.#placeOf) watcher.begin(() => this.snapshot(topic, [reset]));
  }

  /** The log goes on in another epoch: whoever has everything gets a position of it now, the others with their next reminder. */
  remindAll() {
    for (const watcher of this.#placeOf.keys()) watcher.told = undefined;
    this.#remindSome([...this.#placeOf.keys()]);
  }

  /** Starts the once-a-second round over the table in use. */
  start(table: () => Table | undefined) {
    this.#table = table;
    this.#timer = setInterval(() => this.#round(), TICK_MS);
  }

  /** Ends everybody cleanly, for good: the replica is shutting down. */
  end() {
    this.#ended = true;
    clearInterval(this.#timer);
    for (const watcher of [...this.#placeOf.keys()]) watcher.end('shutdown');
  }

  *#topicsOf(home: Home, from?: Home): Generator<Topic> {
    const keys = new Set([home, from].flatMap((of) => (of ? [homeKey(of), keyOf(of.type), keyOf(undefined, of.group), keyOf()] : [])));
    for (const key of keys) yield* this.#byHome.get(key) ?? [];
  }

  #round() {
    const table = this.#table();
    if (!table) return;
    for (const watcher of this.#placeOf.keys()) watcher.check();
    for (const topic of this.#topics.values()) topic.forget();
    this.#remindSome([...(this.#slots[this.#tick++ % TICKS_PER_BOOKMARK] ?? [])]);
    const topics = [...this.#topics.values()].filter(({ query }) => query.performance);
    table.collectPerformance = topics.length > 0;
    if (table.performing.size > 0) tellPerformance(table, (home) => [...this.#topicsOf(home)].filter(({ query }) => query.performance), this.frames);
  }

  /** The position is that of the moment: what is sent between two goes moves it on. */
  #remindSome(watchers: Watcher[]) {
    const table = this.#table();
    if (!table) return;
    const bookmark = this.frames.bookmark(revisionOf(table.position));
    for (const watcher of watchers.splice(0, REMINDED_AT_ONCE)) if (this.#placeOf.has(watcher)) this.#remind(watcher, bookmark, table.position);
    if (watchers.length > 0) setImmediate(() => this.#remindSome(watchers));
  }

  #remind(watcher: Watcher, bookmark: Buffer, { id }: Position) {
    if (!watcher.allowed) return watcher.end('revoked');
    const moved = watcher.told !== id;
    if (watcher.offer(moved ? bookmark : this.frames.keepAlive) && moved) watcher.told = id;
  }
}

const keyOf = (type = '*', group = '*') => homeKey({ type, group });

function* chained<T>(...parts: Iterable<T>[]) {
  for (const part of parts) yield* part;
}
