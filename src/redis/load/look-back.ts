import { isDeparture, type Change } from '../../registry/log/change.js';
import { MAX_DEPARTED } from '../../registry/table/departed.js';
import { sharing } from '../../registry/log/record.js';
import { msOfId } from '../../registry/revision.js';
import type { Ring } from '../../registry/log/ring.js';
import type { Table } from '../../registry/table/table.js';
import { lookAt, type Look, type LogLine, type Wanted } from '../log/log-look.js';
import type { Source } from '../scripts/store.js';

/** Entries of one call, at most 256 KB of them, which are decoded in one turn of the event loop. */
const PAGE = 250;
/** Entries looked at beyond what the ring takes, for departures: the log may hold millions. */
const LOOKED_BEYOND_RING = MAX_DEPARTED;
/** Of those only what is wanted is told: departures, and which entry a restored record is from (`of`). The others take Redis half the time. */
const WANTED_BEYOND_RING: Wanted = { kinds: ['removed', 'expired', 'restored'] };

/**
 * Reads the log back from where a load began: what there is room for in the ring, then only who left, as far as departures are
 * listed. It comes after the records: who is among them has not left, whatever an older entry says.
 */
export class LookBack {
  /** The next page, on its way while one is worked on; undefined when there is none. The log behind a load's beginning does not change. */
  #coming: Promise<Look> | undefined;
  #before: string;
  #looked = 0;
  /** The last departure of each, the latest first. */
  readonly #left = new Map<string, Change>();

  constructor(
    private readonly source: Source,
    private readonly table: Table,
    private readonly ring: Ring,
    head: string,
    private readonly sinceMs: number,
  ) {
    this.#before = head && behind(head);
  }

  /** Whether there is more to be looked at behind what was. */
  get #goesOn(): boolean {
    const listed = this.ring.hasRoom || msOfId(this.#before) >= this.sinceMs;
    return this.#before !== '' && listed && this.#looked < this.ring.capacity + LOOKED_BEYOND_RING;
  }

  #ask() {
    this.#coming = lookAt(this.source, 'before', this.#before, PAGE, this.ring.hasRoom ? {} : WANTED_BEYOND_RING);
    this.#coming.catch(() => undefined); // told to whoever awaits it
  }

  /** One page; true when that was the last. */
  async step(): Promise<boolean> {
    if (!this.#coming && this.#goesOn) this.#ask();
    if (this.#coming) {
      const { lines, looked, at, ended } = await this.#coming;
      this.#before = ended ? '' : at;
      this.#looked += looked;
      this.#coming = undefined;
      if (this.#goesOn) this.#ask();
      for (const line of lines) this.#take(line);
      if (this.#coming) return false;
    }
    this.table.departed.precede([...this.#left.values()]);
    return true;
  }

  #take(line: LogLine) {
    const { table, ring } = this;
    const inRing = ring.hasRoom;
    const { id, fields: { instanceId: named = '', of, kind } } = line;
    const member = table.members.get(named);
    if (of !== undefined && member?.changedBy === id) member.of = of;
    const departs = (kind === 'removed' || kind === 'expired') && !member;
    if (!inRing && !departs) return;
    const change = line.changeOf(table.position.epoch);
    if (!change) return;
    if (member?.changedBy === id) change.record = sharing(change.record, member.record);
    if (inRing) ring.unshift(change);
    const { instanceId } = change.record;
    if (isDeparture(change) && !member && !this.#left.has(instanceId) && msOfId(id) >= this.sinceMs) this.#left.set(instanceId, change);
  }
}

/** The id right behind this one. */
function behind(id: string): string {
  const [ms = '', low = ''] = id.split('-');
  return `${ms}-${BigInt(low) + 1n}`;
}
