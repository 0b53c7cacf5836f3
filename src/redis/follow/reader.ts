import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import type { Change } from '../../registry/log/change.js';
import type { Loaded, View } from '../../registry/view/view.js';
import { Alarm } from '../log/alarm.js';
import type { Connection } from '../connect/connection.js';
import { LeaseEnds } from '../load/lease-ends.js';
import { LoadLog, type LoadReason } from '../load/load-log.js';
import { LogTail, type LogBreak, type Read } from '../log/log-tail.js';
import type { Ring } from '../../registry/log/ring.js';
import { breakOf } from '../recovery/common-entry.js';
import { Divergence, type DivergenceReason } from './divergence.js';
import { LastPulse } from './last-pulse.js';
import { takePulse, type Pulse } from '../log/pulse.js';
import type { ReaderOptions } from './reader-options.js';
import { Recovery } from '../recovery/recovery.js';
import { inSlices } from '../log/slices.js';
import type { Source } from '../scripts/store.js';

/** Without news: how far the watermark may lag behind. */
const TICK_MS = 20;
/** Between reads: at high rates one read then takes many changes, instead of one each. */
const PAUSE_MS = 2;
const RETRY_MS = 100;

/**
 * Feeds the view: the only one that does, so that all replicas see one order. Each read takes the pulse of Redis and both
 * streams, and never blocks: a blocked XREAD that wakes up answers for one stream only, and beats must never be taken
 * without the events before them. When to read is the alarm's to say.
 */
export class Reader {
  #loaded: Loaded | undefined;
  #former: Loaded | undefined; // what the view has while everything is read anew
  #adopted = false;
  readonly #loads: LoadLog;
  #behind = false;
  readonly #last = new LastPulse();
  #stopped = false;
  #running: Promise<void> | undefined;
  readonly #alarm: Alarm;
  readonly #ends: LeaseEnds;
  readonly #tail: LogTail;
  readonly #recovery: Recovery;
  readonly #divergence: Divergence;
  #memory: Ring | undefined; // the latest changes that were read, those too that Redis has lost since

  /** Two connections: one to read with, and one to wait for news on. */
  constructor(
    private readonly source: Source,
    waiting: Connection,
    private readonly view: View,
    private readonly options: ReaderOptions,
    private readonly log: Logger,
  ) {
    this.#ends = new LeaseEnds(source);
    this.#tail = new LogTail(source);
    this.#alarm = new Alarm(waiting, source.keys.events, TICK_MS);
    this.#recovery = new Recovery(source, view, (seconds) => this.#recovered(seconds));
    this.#divergence = new Divergence(source);
    this.#loads = new LoadLog(log, options.observer);
  }

  /** Rejects if Redis does not answer the first time; afterwards it never gives up. */
  async start(): Promise<void> {
    const askedAt = performance.now();
    this.#answered(await takePulse(this.source.connection, this.source.scripts), askedAt);
    this.#alarm.start(() => this.#tail.places.events);
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
    return this.#last.fresh;
  }

  /** How long ago any replica began a sweep, by the clock of Redis; undefined while Redis is silent. */
  get sweptAgoMs(): number | undefined {
    return this.#last.sweptAgoMs;
  }

  async #run() {
    while (!this.#stopped) {
      try {
        if (!this.#loaded) await this.#load();
        const reading = this.#tail.read(this.#settled ? this.#divergence.say((this.#loaded as Loaded).table) : '');
        await this.#ends.goOn(this.#behind);
        const read = await reading;
        const broken = read && (await this.#take(read));
        if (broken) await this.#mend(broken);
        if (broken || this.#behind || this.#ends.reading) continue;
        await sleep(PAUSE_MS);
        await this.#alarm.next();
      } catch {
        if (this.#stopped) return;
        await this.#failed();
      }
    }
  }

  async #load() {
    this.#loads.begin();
    const { table, ring, places, pulse } = await this.#ends.load(this.options.offlineMs, this.#former?.table, this.#loads.trusted);
    this.#loaded = { table, ring };
    this.#memory = ring;
    this.#tail.places = places;
    this.#adopted = false;
    this.#recovery.checkedFromMs = pulse.graceFromMs;
  }

  /** Applies what was read, as far as the log goes on from what was read before. */
  async #take(read: Read, { table } = this.#loaded as Loaded): Promise<LogBreak | undefined> {
    const { askedAt, pulse, events, beats, more } = read;
    this.#answered(pulse, askedAt);
    const elsewhere = this.#tail.breakIn(read, table.position.epoch);
    if (elsewhere) return elsewhere;
    table.noteTime(pulse.nowMs);
    if (more.events) this.view.doubt();
    const adopted = this.#adopted; // who is told of a newly adopted table is told all of it
    // In the same breath as the changes were applied: a snapshot taken in between would hold what is then told again.
    for await (const some of inSlices(events)) {
      const { changes, broken } = this.#tail.take(some, pulse.epoch);
      for (const change of changes) this.#apply(change);
      if (adopted) this.view.settle(changes);
      if (broken) return broken;
    }
    this.#behind = more.events || more.beats;
    // Events come before beats: with some of them still to be read, a beat could be for an instance not known yet.
    if (!more.events) for await (const some of inSlices(beats)) this.#divergence.beaten(this.#tail.takeBeats(some, table));
    const sure = !this.#behind && (this.#recovery.holdsWatermark || this.#advance(pulse, askedAt));
    if (adopted) this.view.settle([]);
    if (this.#behind || this.#ends.reading) return undefined;
    if (!sure) this.#tail.places.beats = await this.#ends.rescore(table);
    else await this.#recover(pulse);
    return undefined;
  }

  #apply(change: Change) {
    const { table, ring } = this.#loaded as Loaded;
    table.apply(change);
    if (this.#settled) this.#divergence.applied(change.id, table);
    ring.push(change);
    if (this.#memory !== ring) this.#memory?.push(change);
    this.#recovery.read(change);
    this.#loads.changes++;
    this.options.observer.applied(change);
  }

  /** Both streams were read to their ends, so all that is judged by the time of the pulse is known; false if beats may be missing. */
  #advance(pulse: Pulse, askedAt: number): boolean {
    const { table } = this.#loaded as Loaded;
    if (!this.#ends.follow(pulse.nowMs)) return false;
    if (this.#ends.reading) return true;
    const planned = table.advance(Math.min(pulse.nowMs, Math.max(pulse.judgedMs, table.watermarkMs)), pulse.graceFromMs, pulse.lullFromMs);
    if (!planned || pulse.judgedMs < pulse.nowMs) this.#alarm.ring(); // at once: the watermark waits for the other leases, or the next part of the judging
    if (!planned) return true;
    const whole = this.options.ownStore || this.#last.quiet; // or others may be about to tell what only they know
    const asOf = askedAt - (pulse.nowMs - table.watermarkMs);
    if (this.#adopted) this.view.refresh(asOf, whole);
    else if (whole && (this.options.ownStore || !this.#last.young)) this.#adopt(asOf);
    return true;
  }

  #adopt(asOf: number) {
    this.#adopted = true;
    this.#former = undefined;
    this.view.refresh(asOf, true);
    this.view.adopt(this.#loaded as Loaded, this.#loads.reason);
    this.#loads.end(this.view.size);
  }

  /** Between reads: gives back what Redis has lost, a part at a time; the next read sees what became of it. */
  async #recover({ graceFromMs, said }: Pulse) {
    if (!this.#adopted) return;
    const proof = this.#settled && (await this.#divergence.proof((this.#loaded as Loaded).table, said));
    if (proof) return this.#startOver('diverged', proof);
    this.#behind = await this.#recovery.step(graceFromMs);
  }

  #recovered(seconds: number) {
    this.log.info({ seconds, instances: this.view.size }, 'restore complete');
    this.view.recovered();
    this.options.observer.recovered();
  }

  /** The view is the registry's, and nothing of it is still to be given back. */
  get #settled(): boolean {
    return this.#adopted && this.#recovery.settled;
  }

  async #failed() {
    this.#giveUpWork();
    if (!this.fresh) this.options.observer.reachable(false); // the connection logs its own loss once
    await sleep(RETRY_MS);
  }

  /** What has been read so far may be another server's than what would be read next. */
  #giveUpWork() {
    if (!this.#ends.reading) return;
    if (!this.#adopted) this.#loaded = undefined;
    this.#ends.lose();
  }

  /** The log is another, or lacks what was read. What this replica knows is kept, unless others know better. */
  async #mend(broken: LogBreak, loaded = this.#loaded as Loaded) {
    this.#giveUpWork();
    this.view.doubt();
    const lost = broken === 'epoch' || (await breakOf(this.source, this.#tail.places.chain)) === 'loss';
    if (!lost || !this.#adopted) return this.#startOver(broken === 'epoch' ? 'epoch' : 'lag');
    this.options.observer.diverged('log');
    this.view.reunite(true);
    this.log.warn('redis lost data: restoring it');
    const found = await this.#recovery.begin(this.#memory as Ring, broken === 'chain');
    if (!found) return this.#startOver('outdated');
    this.view.reunite(true);
    loaded.table.rebase(found.position, found.holds);
    this.#divergence.forget();
    this.#loaded = { table: loaded.table, ring: found.ring };
    this.view.rebase(this.#loaded);
    this.#tail.places = { chain: found.position.id, events: found.position.id || '0-0', beats: '0-0' };
    this.#ends.lose(); // where the beats go on is not known either
  }

  #startOver(reason: LoadReason, proof?: DivergenceReason) {
    if (proof) this.options.observer.diverged(proof);
    this.view.doubt();
    this.#divergence.forget();
    this.#loads.again(reason, proof);
    if (this.#adopted) this.#former = this.#loaded;
    this.#loaded = undefined;
    this.#recovery.forget();
    this.view.reunite(reason === 'outdated' && this.#last.young);
  }

  #answered(pulse: Pulse, askedAt: number) {
    this.#last.take(pulse);
    this.source.clock.take(pulse.nowMs, askedAt);
    if (!this.options.ownStore) this.view.blankFor(this.#last.blankForMs);
    this.options.observer.reachable(true);
  }
}
