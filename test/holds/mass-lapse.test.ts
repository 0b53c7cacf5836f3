import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { registerArgs } from '../../src/redis/scripts/codec.js';
import { openRegistry } from '../helpers/gateway.js';
import { eventsIn } from '../helpers/events.js';
import { CALLER, complete, redisNow } from '../helpers/store.js';
import { until } from '../helpers/until.js';
import { names } from './helpers.js';

type Opened = Awaited<ReturnType<typeof openRegistry>>;
type Groups = Record<string, string[]>;

/** A group of each size, with leases of 60 s. */
const groupsOf = (sizes: number[]): Groups => Object.fromEntries(sizes.map((size, i) => [`g-${i}`, names(size, `g-${i}`)]));

/** Registers these, and waits until the view has them. */
async function fill({ store, view }: Opened, groups: Groups) {
  const all = Object.entries(groups).flatMap(([group, ids]) => ids.map((instanceId) => complete({ instanceId, group, ttlSeconds: 60 })));
  for (let from = 0; from < all.length; from += 200) {
    const args = all.slice(from, from + 200).flatMap((one) => registerArgs(one, 'register', '*', CALLER.name));
    await store.scripts.run(store.connection, 'register', args);
  }
  await until(() => view.size === all.length, 10_000);
}

/** Gives all leases of these groups this one end, in Redis and in the view. */
async function endAt({ raw, keys, view }: Opened, groups: Groups, end: number) {
  const multi = raw.multi();
  for (const [group, ids] of Object.entries(groups)) multi.zadd(keys.leases, ...ids.flatMap((id) => [end, `game:${group}:${id}`]));
  await multi.exec();
  for (const member of view.table.members.values()) {
    member.scoreMs = end; // as if its last heartbeat had been a ttl ago
    view.table.rescore(member.record.instanceId, end + 1);
  }
}

test.each([
  { title: '600 leases of two groups', sizes: [300, 300] },
  { title: '2,400 leases of 60 groups, which take several calls to judge', sizes: Array.from({ length: 60 }, () => 40) },
])('$title that end at once: no answer is short and nobody is evicted before the holds are decided', async ({ sizes }) => {
  const opened = await openRegistry({ fromMemory: true });
  const { view, raw, keys, maintenance } = opened;
  const groups = groupsOf(sizes);
  await fill(opened, groups);
  const end = (await redisNow(raw)) + 400;
  await endAt(opened, groups, end);
  const short = new Set<string>();
  const look = () => {
    for (const [group, ids] of Object.entries(groups)) {
      const listed = view.answer({ type: 'game', group, limit: 1000 }).read().instances.length;
      if (listed < ids.length) short.add(`${group}: ${listed} of ${ids.length}`);
    }
  };
  view.table.news.homes.clear();
  const refresh = view.refresh.bind(view);
  view.refresh = (...args) => {
    refresh(...args);
    look(); // whenever the watermark has moved
  };
  while ((await redisNow(raw)) < end + 400) {
    await maintenance.sweep();
    await sleep(1);
  }
  await until(() => view.table.watermarkMs > end);
  look();
  expect([...short]).toEqual([]);
  const told = (await eventsIn(raw, keys.events)).filter(({ kind }) => kind !== 'registered');
  expect(told.filter(({ kind }) => kind === 'held')).toHaveLength(sizes.length);
  expect(told.filter(({ kind }) => kind === 'expired')).toEqual([]);
});

test('nobody is evicted on a lapse that no pulse has judged', async () => {
  const { registry, store, raw, keys, reader } = await openRegistry();
  await registry.register(complete(), CALLER);
  await reader.stop();
  const end = (await redisNow(raw)) - 10;
  await raw.zadd(keys.leases, end, 'game:kr-1:a');
  const sweep = () => store.scripts.run(store.connection, 'sweep', ['', '', 'game:kr-1:a']);
  await raw.hset(keys.holds, '', `${end} 3 5`);
  expect(await sweep()).toEqual([1, 0, 0]);
  await raw.hset(keys.holds, '', end);
  expect(await sweep()).toEqual([1, 0, 0, 'game:kr-1:a']);
});

const pulse = async ({ store }: Opened) => (await store.scripts.run(store.connection, 'pulse', [''])) as string[];

test('5,000 leases of one millisecond are judged a part at a time, each call bounded, those too whose neighbours beat meanwhile', async () => {
  const opened = await openRegistry();
  const { raw, keys, reader } = opened;
  const groups = groupsOf(Array.from({ length: 100 }, () => 50));
  await fill(opened, groups);
  await reader.stop();
  const end = (await redisNow(raw)) - 1;
  await raw.hset(keys.holds, '', end - 1);
  const multi = raw.multi();
  for (const [group, ids] of Object.entries(groups)) multi.zadd(keys.leases, ...ids.flatMap((id) => [end, `game:${group}:${id}`]));
  await multi.exec();
  let judged = 0;
  let calls = 0;
  for (; judged < end; calls++) {
    await raw.config('RESETSTAT');
    judged = Number((await pulse(opened))[6]);
    const stats = await raw.info('commandstats');
    const hgets = Number(/cmdstat_hget:calls=(\d+)/.exec(stats)?.[1]);
    expect(hgets).toBeLessThanOrEqual(1000 + 2 * 100);
    expect(calls).toBeLessThan(30);
    // Some of each group renew their leases between the calls: their places in the millisecond move.
    await raw.zadd(keys.leases, ...Object.entries(groups).flatMap(([group, ids]) => ids.slice(calls, calls + 1).flatMap((id) => [end + 60_000, `game:${group}:${id}`])));
  }
  expect(calls).toBeGreaterThan(5);
  const holds = Object.values(await raw.hgetall(keys.holds)).filter((text) => text.endsWith(' held'));
  expect(holds).toHaveLength(100);
});

test.each([
  { title: 'silent', silent: 1, held: 1 },
  { title: 'of which one fifth fell silent', silent: 0.2, held: 0 },
])('a group of 3,000 $title is judged by a sample', async ({ silent, held }) => {
  const opened = await openRegistry();
  const { raw, keys, reader } = opened;
  const ids = names(3000);
  await fill(opened, { 'kr-1': ids });
  await reader.stop();
  const end = (await redisNow(raw)) - 1;
  await raw.hset(keys.holds, '', end - 1);
  await raw.zadd(keys.leases, ...ids.slice(0, 3000 * silent).flatMap((id) => [end, `game:kr-1:${id}`]));
  await raw.zadd(keys.leases, ...names(3000, 'other').flatMap((id) => [end + 10_000, `game:other:${id}`])); // late too, elsewhere
  await raw.config('RESETSTAT');
  for (let judged = 0; judged < end; ) judged = Number((await pulse(opened))[6]);
  const looked = Number(/cmdstat_hget:calls=(\d+)/.exec(await raw.info('commandstats'))?.[1]);
  expect(looked).toBeLessThan(4 * 500);
  const [hold] = Object.values(await raw.hgetall(keys.holds)).filter((text) => text.endsWith(' held'));
  expect(hold === undefined ? 0 : 1).toBe(held);
  if (hold !== undefined) expect(hold.split(' ').slice(3, 5)).toEqual(['3000', '3000']);
});
