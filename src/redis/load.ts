import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Hold } from '../registry/hold.js';
import type { Home } from '../registry/home.js';
import { logRecord, sharing } from '../registry/record.js';
import { parseRevision } from '../registry/revision.js';
import { Ring } from '../registry/ring.js';
import { Table } from '../registry/table.js';
import { flat } from '../registry/text.js';
import { decodeInstance } from './codec.js';
import { idOf } from './keys.js';
import { LeaseWalk } from './lease-walk.js';
import { LookBack } from './look-back.js';
import { takePulse, type Pulse } from './pulse.js';
import type { Store } from './store.js';

/** Records decoded in one turn of the event loop: a few ms. */
const DECODED_AT_ONCE = 100;
/** Changes kept in memory for watchers who come back; what is older is read from the log. */
export const RING_SIZE = 10_000;

/** Where a reader stands in the two streams. */
export interface Places {
  /** The last entry of the log that belongs to the chain. */
  chain: string;
  /** The last entry of the log that was read, whoever wrote it. */
  events: string;
  beats: string;
}

/** What is read from: a store, of which nothing is written. */
export type Source = Omit<Store, 'turns'>;

/** Work that is done between reads of the log, a step at a time: so the log never runs away meanwhile. */
export interface Work {
  /** True when that was the last step. */
  step: () => Promise<boolean>;
}

/**
 * Reads the whole registry: every lease with its record, then the holds, then what the log told before. Whoever takes the steps
 * applies the log from `places` on in between. A step is over before the log is read again, so what it brings is never older than
 * what was applied; and a record that already holds a change does not take it twice.
 */
export class Load implements Work {
  readonly table: Table;
  readonly ring = new Ring(RING_SIZE);
  readonly #walk: LeaseWalk;
  readonly #lookBack: LookBack;
  #walked = false;

  private constructor(
    private readonly source: Source,
    readonly pulse: Pulse,
    readonly places: Places,
    offlineMs: number,
    /** The table that is in use meanwhile: what has not changed since is not kept twice. */
    private readonly known: Table | undefined,
  ) {
    this.table = new Table({ epoch: pulse.epoch, id: pulse.head }, offlineMs, pulse.graceFromMs, pulse.lullFromMs);
    this.#walk = new LeaseWalk(source);
    this.#lookBack = new LookBack(source, this.table, this.ring, pulse.head, pulse.nowMs - offlineMs);
  }

  static async begin(source: Source, offlineMs: number, known?: Table): Promise<Load> {
    const { pulse, places } = await findPlaces(source);
    return new Load(source, pulse, places, offlineMs, known);
  }

  async step(): Promise<boolean> {
    if (this.#walked) return this.#lookBack.step();
    const page = await this.#walk.next();
    if (page) {
      await this.#take(page.members);
      return false;
    }
    for (const [home, hold] of await readHolds(this.source)) this.table.hold(home, hold);
    this.#walked = true;
    return false;
  }

  async #take(members: string[]) {
    const records = await readRecords(this.source, members);
    for (const [i, { fields, score }] of records.entries()) {
      if (i > 0 && i % DECODED_AT_ONCE === 0) await nextTurn();
      if (score === undefined || !fields.type || !fields.group || `${fields.type}:${fields.group}:${fields.instanceId}` !== members[i]) continue; // gone since, or spoilt: the sweep's to clear away
      this.#put(fields, score);
    }
  }

  #put(fields: Record<string, string>, score: number) {
    const read = logRecord(decodeInstance(fields));
    const old = this.known?.members.get(read.instanceId);
    const changed = parseRevision(fields.revision ?? '');
    const of = changed?.id === old?.of ? (old?.of ?? '') : flat(changed?.id ?? '');
    this.table.load(old ? sharing(read, old.record, old.performance) : read, score, changed?.epoch === this.table.position.epoch ? of : '', of);
  }
}

/** The ends of all leases, from where they are decided: after a gap in the beats. */
export class Rescore implements Work {
  readonly #walk: LeaseWalk;

  constructor(
    source: Source,
    private readonly table: Table,
  ) {
    this.#walk = new LeaseWalk(source);
  }

  async step(): Promise<boolean> {
    const page = await this.#walk.next();
    page?.members.forEach((member, i) => this.table.rescore(idOf(member), page.scores[i] as number));
    return page === undefined;
  }
}

/** The pulse, and from where on to read the streams: nothing after these places is in what is loaded later, or it is there twice. */
export async function findPlaces({ connection, keys, scripts }: Source): Promise<{ pulse: Pulse; places: Places }> {
  const pulse = await takePulse(connection, scripts);
  const [lastBeats] = await connection.xrevrange(keys.beats, '+', '-', 'COUNT', 1);
  return { pulse, places: { chain: pulse.head, events: pulse.head || '0-0', beats: lastBeats?.[0] ?? '0-0' } };
}

interface Leased {
  fields: Record<string, string>;
  /** Undefined: the lease has gone since. */
  score: number | undefined;
}

/** The end is read after the record: what changes both in between comes as an event that is not in the record yet. */
async function readRecords({ connection, keys }: Source, members: string[]): Promise<Leased[]> {
  const pipeline = connection.pipeline();
  for (const member of members) pipeline.hgetall(keys.record(idOf(member))).zscore(keys.leases, member);
  const replies = (await pipeline.exec()) ?? [];
  return members.map((_, i) => {
    const [[error, fields], [, score]] = [replies[2 * i] ?? [null, {}], replies[2 * i + 1] ?? [null, null]];
    if (error && error.name !== 'ReplyError') throw error; // a key of another type, written by hand, is no record
    return { fields: error ? {} : (fields as Record<string, string>), score: typeof score === 'string' ? Number(score) : undefined };
  });
}

/** The groups that are held. */
export async function readHolds({ connection, keys }: Source): Promise<[Home, Hold][]> {
  return Object.entries(await connection.hgetall(keys.holds)).flatMap(([home, text]): [Home, Hold][] => {
    const [type, group] = home.split(':');
    const [sinceMs = 0, untilMs = 0, , late = 0, members = 0] = text.split(' ').map(Number);
    return type && group && text.endsWith(' held') ? [[{ type, group }, { sinceMs, untilMs, late, members }]] : [];
  });
}
