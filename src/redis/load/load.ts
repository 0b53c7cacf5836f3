import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Hold } from '../../registry/hold.js';
import { homeKey, type Home } from '../../registry/home.js';
import { logRecord, msOf } from '../../registry/log/record.js';
import { parseRevision } from '../../registry/revision.js';
import { Ring } from '../../registry/log/ring.js';
import { Table } from '../../registry/table/table.js';
import { flat } from '../../registry/log/text.js';
import { decodeDescribed, FIELDS, performanceOf } from '../scripts/codec.js';
import { idOf } from '../scripts/keys.js';
import { LeaseWalk } from './lease-walk.js';
import { LookBack } from './look-back.js';
import type { Places } from '../log/log-tail.js';
import { takePulse, type Pulse } from '../log/pulse.js';
import type { Source } from '../scripts/store.js';

/** Leases of one call, whose records are decoded in one turn of the event loop: some 2 ms for Redis, and as many here. */
const READ_AT_ONCE = 100;
const NAMES = FIELDS.join(' ');
/** With all parts there from the beginning, all records have one shape. */
const NO_FIELDS: Record<string, string | undefined> = Object.fromEntries(FIELDS.map((name) => [name, undefined]));
/** Changes kept in memory for watchers who come back; what is older is read from the log. */
export const RING_SIZE = 10_000;

/** Work that is done between reads of the log, a step at a time: so the log never runs away meanwhile. */
export interface Work {
  /**
   * Called when a read of the log has been sent, and before it is applied: sends for a part, unless it is to go no `further` for now.
   * What the call before sent for is what the next step brings, so Redis reads one part while another is worked on.
   */
  ask: (further: boolean) => Promise<void>;
  /** True when that was the last step. */
  step: () => Promise<boolean>;
}

/** Leases with what was sent for of them, which is on its way. */
interface Asked {
  parts: string[][];
  texts: Promise<string>[];
}

/**
 * Reads the whole registry: every lease with its record, then the holds, then what the log told before. Whoever takes the steps
 * applies the log from `places` on in between. What a step brings is never older than what was applied: it is sent for behind a read of
 * the log, on the same connection, and put into the table before the next such read is applied. And a record that already holds a
 * change does not take it twice.
 */
export class Load implements Work {
  readonly table: Table;
  readonly ring = new Ring(RING_SIZE);
  readonly #walk: LeaseWalk;
  readonly #lookBack: LookBack;
  #inHand: Asked | undefined;
  #asked: Asked | undefined;
  #walked = false;
  #further = true;

  private constructor(
    private readonly source: Source,
    readonly pulse: Pulse,
    readonly places: Places,
    offlineMs: number,
    /** The table that is in use meanwhile: what has not changed since is not kept twice. */
    private readonly known: Table | undefined,
    /** It says nothing that Redis has not said: what has not changed since is not read either. */
    private readonly trusted: boolean,
  ) {
    this.table = new Table({ epoch: pulse.epoch, id: pulse.head }, offlineMs, pulse.graceFromMs, pulse.lullFromMs);
    this.#walk = new LeaseWalk(source);
    this.#lookBack = new LookBack(source, this.table, this.ring, pulse.head, pulse.nowMs - offlineMs);
  }

  static async begin(source: Source, offlineMs: number, known?: Table, trusted = false): Promise<Load> {
    const { pulse, places } = await findPlaces(source);
    return new Load(source, pulse, places, offlineMs, known, trusted && known?.position.epoch === pulse.epoch);
  }

  async ask(further: boolean) {
    this.#inHand = this.#asked;
    this.#asked = undefined;
    this.#further = further;
    const page = further && !this.#walked ? await this.#walk.next() : undefined;
    if (page) this.#asked = this.#sendFor(page.members);
    // A Cluster may carry out what it is sent in another order, so nothing is on its way while a read of the log is sent.
    if (this.source.connection.isCluster) [this.#inHand, this.#asked] = [this.#asked, undefined];
  }

  async step(): Promise<boolean> {
    if (this.#inHand) await this.#take(this.#inHand);
    else if (this.#walked && this.#further) return this.#lookBack.step();
    else if (!this.#asked && this.#further) {
      for (const [home, hold] of await readHolds(this.source)) this.table.hold(home, hold);
      this.#walked = true;
    }
    return false;
  }

  #sendFor(members: string[]): Asked {
    const parts = Array.from({ length: Math.ceil(members.length / READ_AT_ONCE) }, (_, i) => members.slice(i * READ_AT_ONCE, (i + 1) * READ_AT_ONCE));
    const texts = parts.map((part) => this.#textOf(part));
    for (const text of texts) text.catch(() => undefined); // told where it is awaited
    return { parts, texts };
  }

  async #take({ parts, texts }: Asked) {
    const left: string[] = [];
    for (const [i, part] of parts.entries()) {
      if (i > 0) await nextTurn();
      const rows = JSON.parse(await (texts[i] as Promise<string>)) as Row[]; // while Redis reads the next
      rows.forEach((row, n) => this.#put(part[n] as string, row));
      left.push(...part.slice(rows.length)); // where records are large
    }
    if (left.length > 0) await this.#take(this.#sendFor(left));
  }

  async #textOf(members: string[]): Promise<string> {
    const { connection, scripts } = this.source;
    return (await scripts.run(connection, 'load', [NAMES, ...members.flatMap((member) => [member, this.#contentOf(member)])])) as string;
  }

  /** Which entry the content is from that need not be read again; '' for none. */
  #contentOf(member: string): string {
    const old = this.trusted ? this.known?.members.get(idOf(member)) : undefined;
    return old && `${homeKey(old.record)}:${old.record.instanceId}` === member ? old.of : '';
  }

  #put(member: string, [score, revision, ...values]: Row) {
    if (score === false) return; // gone since
    const old = this.known?.members.get(idOf(member));
    const changed = parseRevision(revision || '');
    const of = changed?.id === old?.of ? (old?.of ?? '') : flat(changed?.id ?? '');
    const changedBy = changed?.epoch === this.table.position.epoch ? of : '';
    if (old && values.length < FIELDS.length) {
      const [lastHeartbeat, text] = values;
      const performance = text === old.performance ? old.performance : jsonOf(performanceOf(text || undefined));
      return this.table.load(old.record, Number(score), changedBy, of, { performance, renewedAtMs: msOf(lastHeartbeat || '') });
    }
    const fields = { ...NO_FIELDS };
    FIELDS.forEach((name, i) => (fields[name] = values[i] === false ? undefined : values[i]));
    if (!fields.type || !fields.group || `${fields.type}:${fields.group}:${fields.instanceId}` !== member) return; // spoilt: the sweep's to clear away
    const read = logRecord(decodeDescribed(fields));
    this.table.load(old?.record.head === read.head ? old.record : read, Number(score), changedBy, of, read);
  }
}

/** Of one lease (lua/load.lua): its end, the revision, then its record, or what heartbeats change of it; nothing where there is none. */
type Row = [false] | [score: string, revision: string | false, ...values: (string | false)[]];

const jsonOf = (value: object | undefined) => value && JSON.stringify(value);

/** The ends of all leases, from where they are decided: after a gap in the beats. */
export class Rescore implements Work {
  readonly #walk: LeaseWalk;
  #further = true;

  constructor(
    source: Source,
    private readonly table: Table,
  ) {
    this.#walk = new LeaseWalk(source);
  }

  ask(further: boolean) {
    this.#further = further;
    return Promise.resolve();
  }

  async step(): Promise<boolean> {
    if (!this.#further) return false;
    const page = await this.#walk.next(); // an end only moves on: it may be older than what was applied
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

/** The groups that are held. */
export async function readHolds({ connection, keys }: Source): Promise<[Home, Hold][]> {
  return Object.entries(await connection.hgetall(keys.holds)).flatMap(([home, text]): [Home, Hold][] => {
    const [type, group] = home.split(':');
    const [sinceMs = 0, untilMs = 0, , late = 0, members = 0] = text.split(' ').map(Number);
    return type && group && text.endsWith(' held') ? [[{ type, group }, { sinceMs, untilMs, late, members }]] : [];
  });
}
