import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import type { Change } from '../registry/change.js';
import type { Loaded, View } from '../registry/view.js';
import { Alarm } from './alarm.js';
import type { Connection } from './connection.js';
import { idOf } from './keys.js';
import { findPlaces, forEachLease, loadRegistry, type Places, type Source } from './load.js';
import { decodeBeats, decodeChange, type Entry } from './log-entry.js';
import { msOfId } from '../registry/revision.js';
import { decodePulse, takePulse, type Pulse } from './pulse.js';
import { isNoScript } from './scripts.js';

/** Entries of each stream taken at once: decoding them holds the event loop for a few ms. */
const COUNT = 250;
/** Without news: how far the watermark may lag behind. */
const TICK_MS = 20;
/** Between reads: at high rates one read then takes many changes, instead of one each. */
const PAUSE_MS = 2;
const RETRY_MS = 100;
/** Without an answer for this long the store counts as away. */
const FRESH_MS = 2000;
/** Younger than the 15 s for which beats are kept (lua/include/beats.lua): after a longer gap some may be missing. */
const BEATS_SURE_MS = 10_000;
/** A younger epoch may be that of a store that has just been emptied, and is about to be filled again by those who knew it. */
const EPOCH_SETTLED_MS = 3000;

export interface ReaderOptions {
  offlineMs: number;
  /** The store was started by this process, so nobody else knows what was in it before. */
  ownStore: boolean;
  observer: ReaderObserver;
}

export interface ReaderObserver {
  reachable: (reachable: boolean) => void;
  applied: (change: Change) => void;
  /** The whole registry was read: at the start, or because the log had a gap or was another. */
  loaded: (reason: LoadReason) => void;
}

export type LoadReason = 'start' | 'lag' | 'epoch';

/** The log is not the continuation of what was read. */
class BrokenLog extends Error {
  constructor(readonly reason: LoadReason) {
    super(`the log does not go on from here: ${reason}`);
  }
}

/** One read of both streams. */
interface Read {
  pulse: Pulse;
  events: Entry[];
  beats: Entry[];
}

/**
 * Feeds the view: the only one that does, so that all replicas see one order. Each read takes the pulse of Redis and both
 * streams, and never blocks: a blocked XREAD that wakes up answers for one stream only, and beats must never be taken
 * without the events before them. When to read is the alarm's to say.
 */
export class Reader {
  #loaded: Loaded | undefined;
  #places: Places = { chain: '', events: '0-0', beats: '0-0' };
  #adopted = false;
  #reason: LoadReason = 'start';
  #loadStartedAt = 0;
  /** Up to here beats are known without a gap, in ms of the clock of Redis. */
  #beatsSureMs = 0;
  #behind = false;
  #answeredAt = -Infinity;
  #sweptAgoMs = 0;
  #stopped = false;
  #running: Promise<void> | undefined;
  readonly #alarm: Alarm;

  /** Two connections: one to read with, and one to wait for news on. */
  constructor(
    private readonly source: Source,
    waiting: Connection,
    private readonly view: View,
    private readonly options: ReaderOptions,
    private readonly log: Logger,
  ) {
    this.#alarm = new Alarm(waiting, source.keys.events, TICK_MS);
  }

  /** Rejects if Redis does not answer the first time; afterwards it never gives up. */
  async start(): Promise<void> {
    this.#answered(await takePulse(this.source.connection, this.source.scripts));
    this.#alarm.start(() => this.#places.events);
    this.view.onWait = () => this.#alarm.ring();
    this.#running = this.#run();
  }

  /** Resolves when the read under way is over. */
  async stop() {
    this.#stopped = true;
    this.source.connection.disconnect();
    await this.#alarm.stop();
    await this.#running;
  }

  /** Redis answered within the last two seconds. */
  get fresh(): boolean {
    return performance.now() - this.#answeredAt < FRESH_MS;
  }

  /** How long ago any replica began a sweep, by the clock of Redis; undefined while Redis is silent. */
  get sweptAgoMs(): number | undefined {
    return this.fresh ? this.#sweptAgoMs : undefined;
  }

  async #run() {
    while (!this.#stopped) {
      try {
        if (!this.#loaded) await this.#load();
        const read = await this.#read();
        if (read) await this.#take(read);
        if (this.#behind) continue;
        await sleep(PAUSE_MS);
        await this.#alarm.next();
      } catch (error) {
        if (this.#stopped) return;
        this.#failed(error as Error);
        await sleep(RETRY_MS);
      }
    }
  }

  async #load() {
    this.#loadStartedAt = performance.now();
    const { places, pulse, ...loaded } = await loadRegistry(this.source, this.options.offlineMs);
    this.#loaded = loaded;
    this.#places = places;
    this.#adopted = false;
    this.#beatsSureMs = pulse.nowMs;
    this.#behind = true;
  }

  async #read(): Promise<Read | undefined> {
    const { connection, keys, scripts } = this.source;
    const { events, beats } = this.#places;
    const pipeline = connection.pipeline();
    pipeline.evalsha(...scripts.command('pulse', [''], 'sha'));
    pipeline.xread('COUNT', COUNT, 'STREAMS', keys.events, keys.beats, events, beats);
    const [[pulseError, pulse] = [new Error('no reply')], [readError, streams] = [new Error('no reply')]] = (await pipeline.exec()) ?? [];
    if (isNoScript(pulseError)) {
      await takePulse(connection, scripts);
      return undefined;
    }
    if (pulseError ?? readError) throw (pulseError ?? readError) as Error;
    const byKey = new Map((streams ?? []) as [string, Entry[]][]);
    return { pulse: decodePulse(pulse), events: byKey.get(keys.events) ?? [], beats: byKey.get(keys.beats) ?? [] };
  }

  /** Applies what was read. */
  async #take({ pulse, events, beats }: Read) {
    const { table, ring } = this.#loaded as Loaded;
    this.#answered(pulse);
    if (pulse.epoch !== table.position.epoch) throw new BrokenLog('epoch');
    const changes = this.#chain(events, pulse);
    for (const change of changes) {
      table.apply(change);
      ring.push(change);
      this.options.observer.applied(change);
    }
    this.#behind = events.length === COUNT || beats.length === COUNT;
    // Events come before beats: with some of them still to be read, a beat could be for an instance not known yet.
    if (events.length < COUNT) this.#renew(beats);
    const adopted = this.#adopted; // who is told of a newly adopted table is told all of it
    const sure = !this.#behind && this.#advance(pulse);
    // In the same breath as the changes were applied: a snapshot taken in between would hold what is then told again.
    if (adopted) this.view.settle(changes);
    if (!this.#behind && !sure) await this.#rescore();
  }

  /** Decodes events and insists that each names the one before it. */
  #chain(events: Entry[], { epoch, head }: Pulse): Change[] {
    const changes: Change[] = [];
    for (const entry of events) {
      const change = decodeChange(entry, epoch);
      if (change) {
        if (change.prev !== this.#places.chain) throw new BrokenLog('lag');
        this.#places.chain = change.id;
        changes.push(change);
      }
      this.#places.events = entry[0];
    }
    if (events.length === 0 && head !== this.#places.chain) throw new BrokenLog('lag');
    return changes;
  }

  #renew(beats: Entry[]) {
    const { table } = this.#loaded as Loaded;
    for (const entry of beats) {
      const { ids, performances } = decodeBeats(entry);
      table.renew(ids, performances, msOfId(entry[0]));
      this.#places.beats = entry[0];
    }
  }

  /** Both streams were read to their ends, so the time of the pulse is the new watermark; false if beats may be missing. */
  #advance(pulse: Pulse): boolean {
    const { table } = this.#loaded as Loaded;
    if (Math.abs(pulse.nowMs - this.#beatsSureMs) > BEATS_SURE_MS) return false; // or the clock was set
    this.#beatsSureMs = pulse.nowMs;
    table.advance(pulse.nowMs, pulse.graceFromMs);
    const settled = this.options.ownStore || pulse.nowMs - pulse.epochAtMs >= EPOCH_SETTLED_MS;
    if (this.#adopted) this.view.refresh();
    else if (settled) this.#adopt();
    return true;
  }

  #adopt() {
    this.#adopted = true;
    this.view.refresh();
    this.view.adopt(this.#loaded as Loaded, this.#reason);
    const seconds = (performance.now() - this.#loadStartedAt) / 1000;
    this.options.observer.loaded(this.#reason);
    this.log.info({ reason: this.#reason, instances: this.view.size, seconds: Number(seconds.toFixed(3)) }, 'registry read');
  }

  /** Beats may have been trimmed unread: the ends of all leases are read from where they are decided. */
  async #rescore() {
    const { table } = this.#loaded as Loaded;
    const { pulse, places } = await findPlaces(this.source);
    await forEachLease(this.source, (members, scores) => {
      members.forEach((member, i) => table.rescore(idOf(member), scores[i] as number));
    });
    this.#places.beats = places.beats;
    this.#beatsSureMs = pulse.nowMs;
    this.#behind = true; // at once, without waiting for something new
  }

  #failed(error: Error) {
    if (!(error instanceof BrokenLog)) return this.options.observer.reachable(this.fresh); // the connection logs its own loss once
    this.log.warn({ reason: error.reason }, 'the log of changes has a gap or is another: reading the whole registry again');
    this.#reason = error.reason;
    this.#loaded = undefined;
  }

  #answered({ nowMs, sweptAtMs }: Pulse) {
    this.#answeredAt = performance.now();
    this.#sweptAgoMs = nowMs - sweptAtMs;
    this.options.observer.reachable(true);
  }
}
