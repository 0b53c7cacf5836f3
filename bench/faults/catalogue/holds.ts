import { setTimeout as sleep } from 'node:timers/promises';
import { until } from '../../../test/helpers/until.js';
import { keys, type Member } from '../bed.js';
import { TYPE, type Life } from '../load.js';
import type { Field } from '../field.js';
import { underLoad } from '../rig.js';
import type { Fault, Scale } from '../scale.js';
import { events } from '../tools.js';

const GROUP = 'held-0';
const setup = (scale: Scale) => ({ instances: scale.full ? 250 : 50, ttlSeconds: scale.full ? 6 : 2 });

interface Hold {
  since: string;
  until: string;
  late: number;
  members: number;
}

/** A group of fifty, when the grace of the start is long over: a mass lapse just after one is no surprise. */
async function gather(field: Field): Promise<Life[]> {
  const { bed, load, outages, ttlMs } = field;
  const lives = await load.begin(50, { stem: 'held', groups: 1 });
  outages.holds = true;
  await sleep(ttlMs / 2);
  await until(async () => Date.now() > Number(await bed.raw.get(keys.grace)) + 3 * ttlMs + 500, 60_000, 100);
  return lives;
}

/** What a replica says of the hold: the explanation in /groups, and how many are marked. */
async function explained({ bed, load }: Field, n: number): Promise<{ hold: Hold; suspects: number } | undefined> {
  const { url } = bed.members[n] as Member;
  const groups = await load.http.call(url, '/groups');
  const { groups: listed } = JSON.parse(groups.text) as { groups: { group: string; hold?: Hold }[] };
  const hold = listed.find(({ group }) => group === GROUP)?.hold;
  const discovered = await load.http.call(url, `/instances?type=${TYPE}&group=${GROUP}`);
  return hold && { hold, suspects: discovered.text.split('"suspect":true').length - 1 };
}

/** Waits until each replica explains the hold and marks this many. */
async function seen(field: Field, late: number, withinMs: number) {
  const { bed, numbers, require } = field;
  let last: unknown;
  const all = async () => {
    const each = await Promise.all(bed.members.map((_, n) => explained(field, n)));
    last = each;
    return each.every((one) => one && one.suspects >= late * 0.9);
  };
  const since = Date.now();
  const held = await until(all, withinMs, 50).catch(() => false);
  require(Boolean(held), `the hold is not explained by all replicas: ${JSON.stringify(last)}`);
  numbers.heldAfterMs = Date.now() - since;
}

const told = async (field: Field, kind: string) => (await events(field)).filter((event) => event.kind === kind && (event.group === GROUP || event.instanceId?.startsWith('held-')));

const killed: Fault = {
  name: 'most-of-a-group-killed',
  expectation: '60 % of 50 killed at once: held and explained, then the dead are evicted at most two ttl and 2 s after their last heartbeat',
  run: (scale) =>
    underLoad(scale, setup(scale), async (field) => {
      const { load, witness, numbers, require, ttlMs } = field;
      const dead = (await gather(field)).slice(0, 30);
      load.kill(dead);
      await seen(field, 30, 2 * ttlMs);
      await sleep(Math.max(0, witness.lastGhostAt() - Date.now()));
      const expired = await told(field, 'expired');
      const lastTry = Math.max(...dead.map(({ triedAt }) => triedAt));
      numbers.evictedAfterMs = Math.max(0, ...expired.map(({ id }) => Number(id?.split('-')[0]))) - lastTry;
      Object.assign(numbers, { ttlMs, expired: expired.length, held: (await told(field, 'held')).length, released: (await told(field, 'released')).length });
      require(expired.length === 30, `${expired.length} of 30 were evicted in time`);
      require(numbers.held === 1 && numbers.released === 1, `${numbers.held} held, ${numbers.released} released`);
    }),
};

const cutOff: Fault = {
  name: 'most-of-a-group-cut-off',
  expectation: '60 % of 50 cut off until all of them have lapsed, and back: held, and nobody is ever missing or evicted',
  run: (scale) =>
    underLoad(scale, setup(scale), async (field) => {
      const { load, numbers, require, ttlMs } = field;
      const cut = (await gather(field)).slice(0, 30);
      const since = Date.now();
      load.silence(cut, true);
      await seen(field, 30, 1.4 * ttlMs);
      numbers.cutOffMs = Date.now() - since;
      load.silence(cut, false);
      await sleep(2 * ttlMs); // past the end of the hold
      const expired = await told(field, 'expired');
      Object.assign(numbers, { ttlMs, expired: expired.length, held: (await told(field, 'held')).length, released: (await told(field, 'released')).length });
      require(expired.length === 0, `${expired.length} were evicted`);
      require(numbers.held === 1, `${numbers.held} times held`);
    }),
};

const released: Fault = {
  name: 'hold-ended-by-an-operator',
  expectation: 'the operator knows that they are dead: after POST …/evict they are gone within 2 s',
  run: (scale) =>
    underLoad(scale, setup(scale), async (field) => {
      const { bed, load, numbers, require, ttlMs } = field;
      const dead = (await gather(field)).slice(0, 30);
      load.kill(dead);
      await seen(field, 30, 2 * ttlMs);
      const { url } = bed.members[1] as Member;
      const reply = await load.http.call(url, `/groups/${TYPE}/${GROUP}/evict`, { method: 'POST' });
      require(reply.status === 200 && reply.text.includes('"released":true'), `evict: ${reply.status} ${reply.text}`);
      const since = Date.now();
      await until(async () => (await told(field, 'expired')).length === 30, 2 * ttlMs, 50).catch(() => undefined);
      numbers.evictedMs = Date.now() - since;
      require(numbers.evictedMs <= 2000, `evicted after ${numbers.evictedMs} ms`);
      const again = await load.http.call(url, `/groups/${TYPE}/${GROUP}/evict`, { method: 'POST' });
      require(again.status === 200 && again.text.includes('"released":false'), `evict again: ${again.status} ${again.text}`);
    }),
};

export const holds: Fault[] = [killed, cutOff, released];
