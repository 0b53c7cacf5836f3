import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import type { Change } from '../../registry/log/change.js';
import { Memory } from '../../registry/view/memory.js';
import type { View } from '../../registry/view/view.js';
import { Alarm } from '../log/alarm.js';
import type { Connection } from '../connect/connection.js';
import { LeaseEnds } from '../load/lease-ends.js';
import { LoadLog, type LoadReason } from '../load/load-log.js';
import { LogTail, type LogBreak, type Read } from '../log/log-tail.js';
import { breakOf } from '../recovery/common-entry.js';
import { Divergence, type DivergenceReason } from './divergence.js';
import { Intake } from './intake.js';
import { LastPulse } from './last-pulse.js';
import { takePulse, type Pulse } from '../log/pulse.js';
import type { ReaderOptions } from './reader-options.js';
import { Recovery } from '../recovery/recovery.js';
import type { Source } from '../scripts/store.js';
import { isAdopted, next, type Step, type Stage } from './stage.js';

/** Without news: how far the watermark may lag behind. */
const TICK_MS = 20;
/** Between reads: at high rates one read then takes many changes, instead of one each. */
const PAUSE_MS = 2;
const RETRY_MS = 100;

/**
 * Feeds the view: the only one that does, so that all replicas see one order. What it does next is decided by its stage (stage.ts).
 * Each read takes the pulse of Redis and both streams, and never blocks: a blocked XREAD that wakes up answers for one stream only, and beats must never be taken
 * without the events before them. When to read is the alarm's to say.
 */
export class Reader {
  readonly last = new LastPulse();
  #stage: Stage = 'empty';
  /** What it follows into: the view's, once that is adopted. */
  #memory: Memory | undefined;
  readonly #loads: LoadLog;
  #behind = false;
  #stopped = false;
  #running: Promise<void> | undefined;
  readonly #alarm: Alarm;
  readonly #ends: LeaseEnds;
  readonly #tail: LogTail;
  readonly #recovery: Recovery;
  readonly #divergence: Divergence;
  readonly #intake: Intake;

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
    this.#intake = new Intake(this.#tail, this.#divergence, view, (change) => this.#applied(change));
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

  async #run() {
    while (!this.#stopped) {
      try {
        if (this.#stage === 'empty') await this.#load();
        const memory = this.#memory as Memory;
        const reading = this.#tail.read(this.#stage === 'following' ? this.#divergence.say(memory.table) : '');
        await this.#ends.goOn(this.#behind);
        const read = await reading;
        const broken = read && (await this.#take(read, memory));
        if (broken) await this.#mend(broken, memory);
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
    const { table, ring, places, pulse } = await this.#ends.load(this.options.offlineMs, this.view.current?.table, this.#loads.trusted);
    this.#memory = new Memory(table, ring);
    this.#tail.places = places;
    this.#recovery.checkedFromMs = pulse.graceFromMs;
    this.#become('begun');
  }

  /** Applies what was read, as far as the log goes on from what was read before; then what is due at its end. */
  async #take(read: Read, memory: Memory): Promise<LogBreak | undefined> {
    const { askedAt, pulse, more } = read;
    this.#answered(pulse, askedAt);
    const broken = this.#tail.breakIn(read, memory.table.position.epoch) ?? (await this.#intake.take(read, memory, this.#stage));
    if (broken) return broken;
    this.#behind = more.events || more.beats;
    const told = isAdopted(this.#stage);
    const sure = !this.#behind && (this.#recovery.holdsWatermark || this.#advance(memory, pulse, askedAt));
    if (told) this.view.settle([]);
    if (this.#behind || this.#ends.reading) return undefined;
    if (!sure) this.#tail.places.beats = await this.#ends.rescore(memory.table);
    else if (isAdopted(this.#stage)) await this.#recover(memory, pulse);
    return undefined;
  }

  #applied(change: Change) {
    this.#recovery.read(change);
    this.#loads.changes++;
    this.options.observer.applied(change);
  }

  /** Both streams were read to their ends, so all that is judged by the time of the pulse is known; false if beats may be missing. */
  #advance(memory: Memory, pulse: Pulse, askedAt: number): boolean {
    const judged = this.#ends.judge(memory.table, pulse);
    if (judged === 'gap') return false;
    if (judged === 'waits' || pulse.judgedMs < pulse.nowMs) this.#alarm.ring(); // at once: the watermark waits for the other leases, or the next part of the judging
    if (judged === 'waits') return true;
    const whole = this.options.ownStore || this.last.quiet; // or others may be about to tell what only they know
    const asOf = askedAt - (pulse.nowMs - memory.table.watermarkMs);
    if (isAdopted(this.#stage)) this.view.refresh(asOf, whole);
    else if (whole && (this.options.ownStore || !this.last.young)) this.#adopt(memory, asOf);
    return true;
  }

  #adopt(memory: Memory, asOf: number) {
    this.#become('complete');
    this.view.refresh(asOf, true);
    this.view.adopt(memory, this.#loads.reason);
    this.#loads.end(this.view.size);
  }

  /** Between reads: gives back what Redis has lost, a part at a time; the next read sees what became of it. */
  async #recover({ table }: Memory, { graceFromMs, said }: Pulse) {
    const proof = this.#stage === 'following' && (await this.#divergence.proof(table, said));
    if (proof) return this.#startOver('diverged', proof);
    this.#behind = await this.#recovery.step(graceFromMs).finally(() => this.#become(this.#recovery.settled ? 'restored' : 'lost'));
  }

  #recovered(seconds: number) {
    this.log.info({ seconds, instances: this.view.size }, 'restore complete');
    this.view.recovered();
    this.options.observer.recovered();
  }

  #become(step: Step) {
    this.#stage = next(this.#stage, step);
  }

  async #failed() {
    this.#giveUpWork();
    if (!this.last.fresh) this.options.observer.reachable(false); // the connection logs its own loss once
    await sleep(RETRY_MS);
  }

  /** What has been read so far may be another server's than what would be read next. */
  #giveUpWork() {
    if (!this.#ends.reading) return;
    if (this.#stage === 'loading') this.#become('unfit');
    this.#ends.lose();
  }

  /** The log is another, or lacks what was read. What this replica knows is kept, unless others know better. */
  async #mend(broken: LogBreak, memory: Memory) {
    this.#giveUpWork();
    this.view.freshness.doubt();
    const lost = broken === 'epoch' || (await breakOf(this.source, this.#tail.places.chain)) === 'loss';
    if (!lost || !isAdopted(this.#stage)) return this.#startOver(broken === 'epoch' ? 'epoch' : 'lag');
    this.options.observer.diverged('log');
    this.view.freshness.part(true);
    this.log.warn('redis lost data: restoring it');
    this.#become('lost');
    const found = await this.#recovery.begin(broken === 'chain');
    if (!found) return this.#startOver('outdated');
    this.view.freshness.part(true);
    memory.rebase(found);
    this.#divergence.forget();
    const { id } = found.position;
    this.#tail.places = { chain: id, events: id || '0-0', beats: '0-0' };
    this.#ends.lose(); // where the beats go on is not known either
  }

  #startOver(reason: LoadReason, proof?: DivergenceReason) {
    if (proof) this.options.observer.diverged(proof);
    this.view.freshness.doubt();
    this.#divergence.forget();
    this.#loads.again(reason, proof);
    if (this.#stage !== 'empty') this.#become('unfit');
    this.#recovery.forget();
    this.view.freshness.part(reason === 'outdated' && this.last.young);
  }

  #answered(pulse: Pulse, askedAt: number) {
    this.last.take(pulse);
    this.source.clock.take(pulse.nowMs, askedAt);
    if (!this.options.ownStore) this.view.freshness.blankFor(this.last.blankForMs);
    this.options.observer.reachable(true);
  }
}
