import type { Change } from '../registry/change.js';
import type { Hold } from '../registry/hold.js';
import type { Home } from '../registry/home.js';
import { logRecord } from '../registry/record.js';
import { msOfId, parseRevision } from '../registry/revision.js';
import { Ring } from '../registry/ring.js';
import { Table } from '../registry/table.js';
import type { Loaded } from '../registry/view.js';
import { decodeInstance } from './codec.js';
import { idOf } from './keys.js';
import { decodeChange } from './log-entry.js';
import { takePulse, type Pulse } from './pulse.js';
import type { Store } from './store.js';

/** Records of one round trip: decoding them holds the event loop for a few ms. */
const CHUNK = 100;
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

export interface Start extends Loaded {
  places: Places;
  pulse: Pulse;
}

/** What is read from: a store, of which nothing is written. */
export type Source = Omit<Store, 'turns'>;

/**
 * Reads the whole registry: first the places in the streams, then every lease with its record, then the log's tail. What
 * changes meanwhile is read from those places on afterwards, and a record that already holds a change does not take it twice.
 */
export async function loadRegistry(source: Source, offlineMs: number): Promise<Start> {
  const { pulse, places } = await findPlaces(source);
  const table = new Table({ epoch: pulse.epoch, id: pulse.head }, offlineMs, pulse.graceFromMs, pulse.lullFromMs);
  await forEachLease(source, async (members) => {
    const records = await readRecords(source, members);
    records.forEach(({ fields, score }, i) => {
      if (score === undefined || !fields.type || !fields.group || `${fields.type}:${fields.group}:${fields.instanceId}` !== members[i]) return; // gone since, or spoilt: the sweep's to clear away
      const changed = parseRevision(fields.revision ?? '');
      table.load(logRecord(decodeInstance(fields)), score, changed?.epoch === pulse.epoch ? changed.id : '', changed?.id ?? '');
    });
  });
  for (const [home, hold] of await readHolds(source)) table.hold(home, hold);
  const ring = new Ring(RING_SIZE);
  for (const change of await readTail(source, pulse, offlineMs)) {
    ring.push(change);
    table.remember(change);
  }
  return { table, ring, places, pulse };
}

/** The pulse, and from where on to read the streams: nothing after these places is in what is loaded later, or it is there twice. */
export async function findPlaces({ connection, keys, scripts }: Source): Promise<{ pulse: Pulse; places: Places }> {
  const pulse = await takePulse(connection, scripts);
  const [lastBeats] = await connection.xrevrange(keys.beats, '+', '-', 'COUNT', 1);
  return { pulse, places: { chain: pulse.head, events: pulse.head || '0-0', beats: lastBeats?.[0] ?? '0-0' } };
}

/** Every lease, in chunks, as `<type>:<group>:<id>` and its end. One that stays throughout is given at least once. */
export async function forEachLease({ connection, keys }: Source, take: (members: string[], scores: number[]) => unknown) {
  let cursor = '0';
  do {
    const [next, flat] = await connection.zscan(keys.leases, cursor, 'COUNT', CHUNK);
    cursor = next;
    for (let start = 0; start < flat.length; start += 2 * CHUNK) { // a small ZSet comes whole, whatever was asked
      const chunk = flat.slice(start, start + 2 * CHUNK);
      await take(chunk.filter((_, i) => i % 2 === 0), chunk.filter((_, i) => i % 2 === 1).map(Number));
    }
  } while (cursor !== '0');
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

/** The latest changes, oldest first: enough for the ring, and all departures that are still to be listed. */
async function readTail({ connection, keys }: Source, { epoch, head, nowMs }: Pulse, offlineMs: number): Promise<Change[]> {
  const changes: Change[] = [];
  for (let end = head; end !== ''; ) {
    const entries = await connection.xrevrange(keys.events, end, '-', 'COUNT', CHUNK);
    const oldest = entries.at(-1)?.[0];
    for (const entry of entries) {
      const change = decodeChange(entry, epoch);
      if (change) changes.push(change);
    }
    const enough = changes.length >= RING_SIZE && oldest !== undefined && msOfId(oldest) < nowMs - offlineMs;
    end = oldest === undefined || entries.length < CHUNK || enough ? '' : `(${oldest}`;
  }
  return changes.reverse();
}
