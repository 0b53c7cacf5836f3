import { setTimeout as sleep } from 'node:timers/promises';
import { until } from '../../../test/helpers/until.js';
import { instance, openFiller } from '../../rig.js';
import { keys, type Member } from '../bed.js';
import { idsIn, NoAnswer } from '../http.js';
import { TYPE } from '../load.js';
import type { Field } from '../field.js';
import { underLoad } from '../rig.js';
import type { Fault } from '../scale.js';
import { events } from '../tools.js';

const BATCH = 1000;
const TTL_SECONDS = 12;
const TTL_MS = TTL_SECONDS * 1000;
const ASKERS = 8;

interface Fleet {
  groups: number;
  perGroup: number;
  /** How often replicas sweep. */
  sweepMs: number;
}

const idOf = (n: number) => `lapse-${n}`;

/** All are registered, and the replicas know them; the grace of the start is long over. */
async function gather({ bed, load }: Field, { groups, perGroup }: Fleet) {
  const filler = await openFiller(bed.redis.url);
  const count = groups * perGroup;
  // Neighbours are of different groups, so each batch of heartbeats is for all of them.
  await filler.fillEach(Array.from({ length: count }, (_, n) => ({ ...instance('lapse', n, 1), group: `lapse-${n % groups}`, ttlSeconds: TTL_SECONDS })));
  filler.close();
  await until(async () => {
    const counts = await Promise.all(bed.members.map(async ({ url }) => (JSON.parse((await load.http.call(url, '/groups')).text) as { groups: { count?: number; instances?: number }[] }).groups.length));
    return counts.every((known) => known === groups);
  }, 60_000, 100);
  await bed.raw.set(keys.grace, '1');
}

/** One round of heartbeats for all; when the first was sent, and the last done. */
async function beatAll({ bed, load }: Field, count: number) {
  const sentAt = Date.now();
  for (let from = 0; from < count; from += BATCH) {
    const beats = Array.from({ length: Math.min(BATCH, count - from) }, (_, n) => ({ instanceId: idOf(from + n) }));
    const reply = await load.http.call((bed.members[(from / BATCH) % bed.members.length] as Member).url, '/heartbeats', { method: 'POST', body: beats, timeoutMs: 20_000 });
    if (reply.status !== 200 || /"status":[45]/.test(reply.text)) throw new Error(`heartbeats: ${reply.status} ${reply.text.slice(0, 200)}`);
  }
  return { sentAt, doneAt: Date.now() };
}

interface Seen {
  answers: number;
  short: number;
  notes: string[];
}

/** Long polls and questions for all groups, over all replicas, until the time is over: who is listed less than whole? */
async function askUntil({ bed, load }: Field, { groups, perGroup }: Fleet, endsAt: number): Promise<Seen> {
  const seen: Seen = { answers: 0, short: 0, notes: [] };
  const ask = async (group: number, member: Member, headers: Record<string, string>) => {
    const reply = await load.http.call(member.url, `/instances?type=${TYPE}&group=lapse-${group}`, { headers, timeoutMs: 30_000 }).catch((error: NoAnswer) => error);
    if (reply instanceof NoAnswer || reply.receivedAt > endsAt) return undefined;
    if (reply.status !== 200 || reply.headers['x-stale-seconds'] !== undefined) return reply;
    seen.answers++;
    const listed = idsIn(reply.text).size;
    if (listed < perGroup) {
      seen.short++;
      if (seen.notes.length < 4) seen.notes.push(`${new Date(reply.receivedAt).toISOString()} lapse-${group} at ${member.url}: ${listed} of ${perGroup}`);
    }
    return reply;
  };
  const poll = async (group: number) => {
    const member = bed.members[group % bed.members.length] as Member;
    for (let tag: string | undefined; Date.now() < endsAt; ) {
      const reply = await ask(group, member, tag ? { 'if-none-match': tag, prefer: 'wait=5' } : {});
      tag = reply?.headers.etag ?? tag;
      if (!reply || reply.status !== 304) await sleep(100);
    }
  };
  const walk = async (lane: number) => {
    for (let n = lane; Date.now() < endsAt; n += ASKERS) {
      await ask(n % groups, bed.members[n % bed.members.length] as Member, {});
      await sleep(10);
    }
  };
  const polled = Array.from({ length: Math.min(groups, 60) }, (_, n) => Math.floor((n * groups) / Math.min(groups, 60)));
  await Promise.all([...polled.map(poll), ...Array.from({ length: ASKERS }, (_, lane) => walk(lane))]);
  return seen;
}

function lapse({ groups, perGroup, sweepMs }: Fleet): Fault {
  return {
    name: `mass-lapse-${groups}-groups-${sweepMs}ms`,
    expectation: `${(groups * perGroup).toLocaleString('en')} in ${groups} groups, mixed in each batch of heartbeats, fall silent at once: no answer is short and nobody is expired before the holds are over`,
    alone: true,
    run: (scale) =>
      underLoad(scale, { idle: true, replicas: scale.full ? 3 : 1, env: { SWEEP_INTERVAL_MS: String(sweepMs), EVENTS_MAX: '200000' } }, async (field) => {
        const fleet = { groups, perGroup, sweepMs };
        await gather(field, fleet);
        await beatAll(field, groups * perGroup);
        const { sentAt, doneAt } = await beatAll(field, groups * perGroup);
        // The first hold begins when the first leases end, and lasts a ttl from then.
        const seen = await askUntil(field, fleet, sentAt + 2 * TTL_MS - 500);
        const told = await events(field);
        const early = told.filter(({ kind, id }) => kind === 'expired' && Number(id?.split('-')[0]) < sentAt + 2 * TTL_MS - 500);
        const held = new Set(told.filter(({ kind }) => kind === 'held').map(({ group }) => group)).size;
        Object.assign(field.numbers, { instances: groups * perGroup, beatMs: doneAt - sentAt, answers: seen.answers, short: seen.short, expired: early.length, held });
        field.require(seen.short === 0, `${seen.short} answers were short: ${seen.notes.join('; ')}`);
        field.require(early.length === 0, `${early.length} were expired before their holds could be over`);
        field.require(held === groups, `${held} of ${groups} groups were held`);
      }),
  };
}

export const massLapses: Fault[] = [
  lapse({ groups: 20, perGroup: 40, sweepMs: 1000 }),
  lapse({ groups: 100, perGroup: 100, sweepMs: 200 }),
  lapse({ groups: 800, perGroup: 40, sweepMs: 1000 }),
  lapse({ groups: 800, perGroup: 40, sweepMs: 200 }),
];
