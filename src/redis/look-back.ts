import { isDeparture, type Change } from '../registry/change.js';
import { MAX_DEPARTED } from '../registry/departed.js';
import { sharing } from '../registry/record.js';
import { msOfId } from '../registry/revision.js';
import type { Ring } from '../registry/ring.js';
import type { Table } from '../registry/table.js';
import type { Source } from './load.js';
import { decodeChange, fieldOf, type Entry } from './log-entry.js';
import { inSlices } from './slices.js';

const PAGE = 500;
/** Entries looked at beyond what the ring takes, for departures: the log may hold millions. */
const LOOKED_BEYOND_RING = MAX_DEPARTED;

/**
 * Reads the log back from where a load began: what there is room for in the ring, then only who left, as far as departures are
 * listed. It comes after the records: who is among them has not left, whatever an older entry says.
 */
export class LookBack {
  #end: string;
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
    this.#end = head;
  }

  /** One page; true when that was the last. */
  async step(): Promise<boolean> {
    const { connection, keys } = this.source;
    const entries = this.#end === '' ? [] : ((await connection.xrevrange(keys.events, this.#end, '-', 'COUNT', PAGE)) as Entry[]);
    for await (const some of inSlices(entries)) for (const entry of some) this.#take(entry);
    const oldest = entries.at(-1)?.[0];
    this.#looked += entries.length;
    const listed = oldest !== undefined && (this.ring.hasRoom || msOfId(oldest) >= this.sinceMs);
    if (listed && entries.length === PAGE && this.#looked < this.ring.capacity + LOOKED_BEYOND_RING) {
      this.#end = `(${oldest}`;
      return false;
    }
    this.table.departed.precede([...this.#left.values()]);
    return true;
  }

  #take(entry: Entry) {
    const { table, ring } = this;
    const inRing = ring.hasRoom;
    const [id, flat] = entry;
    const member = table.members.get(fieldOf(flat, 'instanceId') ?? '');
    const of = fieldOf(flat, 'of');
    if (of !== undefined && member?.changedBy === id) member.of = of;
    const kind = fieldOf(flat, 'kind');
    const departs = (kind === 'removed' || kind === 'expired') && !member;
    if (!inRing && !departs) return;
    const change = decodeChange(entry, table.position.epoch);
    if (!change) return;
    if (member?.changedBy === id) change.record = sharing(change.record, member.record);
    if (inRing) ring.unshift(change);
    const { instanceId } = change.record;
    if (isDeparture(change) && !member && !this.#left.has(instanceId) && msOfId(id) >= this.sinceMs) this.#left.set(instanceId, change);
  }
}
