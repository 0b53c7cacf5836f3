import type { Table } from '../../registry/table/table.js';
import type { Pulse } from '../log/pulse.js';
import { findPlaces, Load, Rescore, type Work } from './load.js';
import type { Source } from '../scripts/store.js';

/** Younger than the 15 s for which beats are kept (lua/include/beats.lua): after a longer gap some may be missing. */
const BEATS_SURE_MS = 10_000;
/** Reads of the log in a row, before the work between them has its turn whatever is left to read. */
const READS_BEFORE_WORK = 20;

/**
 * Whether the ends of all leases are known without a gap. Where they are not, all leases are read, with their records or without, a
 * step between two reads of the log: so the beats are followed from the beginning of that on, and its end leaves no gap however long
 * it took.
 */
export class LeaseEnds {
  /** Up to here beats are known without a gap, in ms of the clock of Redis. */
  #sureMs = -Infinity;
  #work: Work | undefined;
  #reads = 0;

  constructor(private readonly source: Source) {}

  /** Leases are being read: until that is over the watermark waits. */
  get reading(): boolean {
    return this.#work !== undefined;
  }

  /** Begins to read the whole registry; `known` is what is in use meanwhile, `trusted` if it is right as far as it goes. */
  async load(offlineMs: number, known: Table | undefined, trusted: boolean): Promise<Load> {
    const load = await Load.begin(this.source, offlineMs, known, trusted);
    this.#sureMs = load.pulse.nowMs;
    this.#work = load;
    return load;
  }

  /** Begins to read the ends into a table that has the records. Resolves to where in the beats it has to be followed from. */
  async rescore(table: Table): Promise<string> {
    const { pulse, places } = await findPlaces(this.source);
    this.#sureMs = pulse.nowMs;
    this.#work = new Rescore(this.source, table);
    return places.beats;
  }

  /**
   * Goes on with the work: to be called when a read of the log has been sent, and before what it brings is applied. With much left to read it
   * goes no further than what is on its way: a log that runs away would be lost, but work that never ends helps nobody.
   */
  async goOn(behind: boolean) {
    if (!this.#work) return;
    const further = !behind || this.#reads++ >= READS_BEFORE_WORK;
    if (further) this.#reads = 0;
    await this.#work.ask(further);
    if (await this.#work.step()) this.#work = undefined;
  }

  /**
   * Both streams were read to their ends: judges who has lapsed by then. `gap`: beats may have been trimmed unread, or the clock was
   * set, so nobody may be judged. `waits`: the other leases have to be read first, or a grace reckoned.
   */
  judge(table: Table, { nowMs, judgedMs, graceFromMs, lullFromMs }: Pulse): 'gap' | 'waits' | 'done' {
    if (Math.abs(nowMs - this.#sureMs) > BEATS_SURE_MS) return 'gap';
    this.#sureMs = nowMs;
    if (this.reading) return 'waits';
    return table.advance(Math.min(nowMs, Math.max(judgedMs, table.watermarkMs)), graceFromMs, lullFromMs) ? 'done' : 'waits';
  }

  /** The streams are others, or what was read so far may be another server's. */
  lose() {
    this.#work = undefined;
    this.#sureMs = -Infinity;
  }
}
