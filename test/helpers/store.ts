import type { Redis } from 'ioredis';
import { expect } from 'vitest';
import type { CompleteRegistration } from '../../src/registry/registry.js';
import type { Keys } from '../../src/redis/scripts/keys.js';

type Fields = Record<string, string>;

export const CALLER = { name: 'a-test' };

/** A complete registration, right in every field a test does not care about. */
export const complete = (fields: Partial<CompleteRegistration> = {}): CompleteRegistration => ({
  instanceId: 'a',
  incarnation: 'life-1',
  type: 'game',
  group: 'kr-1',
  hostname: 'game-1.example.com',
  ports: [],
  status: 'ready',
  ttlSeconds: 30,
  ...fields,
});

export const pairsOf = (flat: string[]): Fields =>
  Object.fromEntries(Array.from({ length: flat.length / 2 }, (_, i) => [flat[2 * i], flat[2 * i + 1]]));

export interface StoreState {
  /** `<type>:<group>:<id>` and the score in ms. */
  leases: Map<string, number>;
  groups: Set<string>;
  /** `<type>:<group>:<id>` of every Set member. */
  members: Set<string>;
  faces: Map<string, Fields>;
  records: Map<string, Fields>;
  events: (Fields & { entry: string })[];
}

/** Everything that the registry holds in Redis, read at one moment: one EXEC over the keys that exist. */
export async function readStore(raw: Redis, keys: Keys): Promise<StoreState> {
  const names = await raw.keys(`${keys.prefix}*`);
  const under = (stem: string) => names.filter((name) => name.startsWith(stem)).map((name) => name.slice(stem.length));
  const [ids, known, homes] = [under(keys.face('')), under(keys.record('')), under(keys.membersStem)];
  const multi = raw.multi().zrange(keys.leases, 0, '-1', 'WITHSCORES').smembers(keys.groups).xrange(keys.events, '-', '+');
  for (const id of ids) multi.hgetall(keys.face(id));
  for (const id of known) multi.hgetall(keys.record(id));
  for (const home of homes) multi.smembers(keys.members(home));
  const replies = ((await multi.exec()) ?? []).map(([error, reply]) => {
    if (error) throw error;
    return reply;
  });
  const [leases, groups, events] = replies.splice(0, 3) as [string[], string[], [string, string[]][]];
  const hashes = (list: string[]) =>
    new Map(list.map((id) => [id, replies.shift() as Fields] as const).filter(([, fields]) => Object.keys(fields).length > 0));
  return {
    leases: new Map(Object.entries(pairsOf(leases)).map(([member, score]) => [member, Number(score)])),
    groups: new Set(groups),
    events: events.map(([entry, flat]) => ({ entry, ...pairsOf(flat) })),
    faces: hashes(ids),
    records: hashes(known),
    members: new Set(homes.flatMap((home) => (replies.shift() as string[]).map((id) => `${home}:${id}`))),
  };
}

const REQUIRED = [
  'instanceId', 'incarnation', 'type', 'group', 'hostname', 'status', 'ttlSeconds', 'registeredAt', 'updatedAt', 'lastHeartbeat',
  'expiresAt', 'revision',
];

/**
 * Set, ZSet, record and group index name the same instances, no record is half there, and a face that stands says what its
 * record says. A face may be missing: it ends with its lease.
 */
export function expectAgreement({ leases, members, groups, records, faces }: StoreState) {
  const placed = [...records.values()].map(({ type, group, instanceId }) => `${type}:${group}:${instanceId}`).sort();
  expect([...leases.keys()].sort(), 'leases and records').toEqual(placed);
  expect([...members].sort(), 'members and records').toEqual(placed);
  expect([...groups].sort(), 'groups and records').toEqual([...new Set(placed.map((member) => member.slice(0, member.lastIndexOf(':'))))].sort());
  for (const [id, record] of records) {
    expect(record.instanceId, 'a record under its own id').toBe(id);
    expect(Object.keys(record), `the record of ${id} is whole`).toEqual(expect.arrayContaining(REQUIRED));
  }
  for (const [id, face] of faces) expect(face, `face and record of ${id}`).toEqual(records.get(id));
}

const KINDS = ['registered', 'updated', 'removed', 'expired', 'restored', 'held', 'released'];
const order = (entry: string) => entry.split('-').map(Number) as [number, number];

/** Every entry names the one before it, and ids grow. */
export function expectChain(events: StoreState['events']) {
  events.forEach(({ entry, prev, kind }, i) => {
    expect(KINDS, 'kind').toContain(kind);
    expect(prev, `prev of entry ${i}`).toBe(events[i - 1]?.entry ?? '');
    const [ms, seq] = order(entry);
    const [lastMs, lastSeq] = order(events[i - 1]?.entry ?? '0-0');
    expect(ms > lastMs || (ms === lastMs && seq > lastSeq), `${entry} after ${events[i - 1]?.entry}`).toBe(true);
  });
}

/** Makes leases lapse now, as if their time had passed: the score is behind, and the face is gone. */
export async function lapse(raw: Redis, keys: Keys, ids: string[], home = 'game:kr-1', agoMs = 1) {
  const [seconds, micros] = await raw.time();
  const past = Number(seconds) * 1000 + Math.floor(Number(micros) / 1000) - agoMs;
  const multi = raw.multi();
  for (const id of ids) multi.zadd(keys.leases, 'XX', past, `${home}:${id}`).del(keys.face(id));
  await multi.exec();
}

/** Redis' clock in ms. */
export async function redisNow(raw: Redis): Promise<number> {
  const [seconds, micros] = await raw.time();
  return Number(seconds) * 1000 + Math.floor(Number(micros) / 1000);
}
