import fc from 'fast-check';
import { expect, test } from 'vitest';
import { MAX_BEATS } from '../../src/contract/index.js';
import { openRegistry } from '../helpers/gateway.js';
import { CALLER, complete, redisNow } from '../helpers/store.js';
import { until } from '../helpers/until.js';
import { openReplica } from '../recovery/helpers/replica.js';
import { keepBeating, listed, names, openSwept, registerAll, suspects } from './helpers.js';

test('fewer than five are no mass lapse, however large their share', async () => {
  const gateway = await openSwept();
  await registerAll(gateway, names(4), { ttlSeconds: 1 });
  await until(async () => (await gateway.events('expired')).length === 4, 5000);
  expect(await gateway.events('held')).toEqual([]);
});

test('half of a group is no mass lapse: more than half is', async () => {
  const gateway = await openSwept();
  await registerAll(gateway, names(5), { ttlSeconds: 2 });
  await registerAll(gateway, names(5, 'live'), { ttlSeconds: 60 });
  await registerAll(gateway, names(6, 'more'), { group: 'eu-1', ttlSeconds: 2 });
  await registerAll(gateway, names(5, 'more-live'), { group: 'eu-1', ttlSeconds: 2 });
  keepBeating(gateway, names(5, 'more-live'));
  await until(async () => (await gateway.events('expired')).length === 5, 6000);
  await until(async () => (await gateway.events('held')).length > 0, 6000);
  expect((await gateway.events('held')).map(({ group }) => group)).toEqual(['eu-1']);
});

test('who beats late, but a third of a lease before the end, is not late', async () => {
  const gateway = await openSwept();
  await registerAll(gateway, names(6), { ttlSeconds: 2 });
  await registerAll(gateway, names(6, 'slow'), { ttlSeconds: 2 });
  const beats = names(6, 'slow').map((instanceId) => ({ instanceId }));
  const timer = setInterval(() => void gateway.call.post('/heartbeats').send(beats).then(() => undefined), 1000);
  await until(async () => (await gateway.events('expired')).length >= 6, 6000);
  clearInterval(timer);
  expect(await gateway.events('held')).toEqual([]);
});

test('a hold is not followed by another within one ttl of its end, so nobody is kept for ever', async () => {
  const gateway = await openSwept();
  const stop = keepBeating(gateway, [...names(8, 'second'), 'long']);
  await registerAll(gateway, ['long'], { ttlSeconds: 3 }); // a hold is as long as the longest lease of the group, and so is the cool-down
  await registerAll(gateway, [...names(12, 'first'), ...names(8, 'second')], { ttlSeconds: 1 });
  await until(async () => (await gateway.events('released')).length === 1, 10_000);
  stop();
  keepBeating(gateway, ['long']);
  await until(async () => (await gateway.events('expired')).length === 20, 3500);
  expect(await gateway.events('held')).toHaveLength(1);
  await until(async () => (await gateway.raw.hget(gateway.keys.holds, 'game:kr-1')) === null, 6000);
  await registerAll(gateway, names(12, 'third'), { ttlSeconds: 1 });
  await until(async () => (await gateway.events('held')).length === 2, 5000);
});

test('who does not come back after an outage gets its grace, and no hold on top', async () => {
  const gateway = await openSwept();
  await registerAll(gateway, names(10), { ttlSeconds: 1 });
  await gateway.raw.set(gateway.keys.grace, await redisNow(gateway.raw));
  await until(async () => (await gateway.events('expired')).length === 10, 5000);
  expect(await gateway.events('held')).toEqual([]);
  const at = await redisNow(gateway.raw);
  await registerAll(gateway, names(10, 'later'), { ttlSeconds: 4 });
  expect((await redisNow(gateway.raw)) - at).toBeLessThan(4000);
});

test('2,100 that are held, which is more than the sweep reads at once, do not keep it from others', { timeout: 40_000 }, async () => {
  const gateway = await openSwept();
  const all = [...names(2100), ...names(4, 'few')];
  await registerAll(gateway, names(2100), { ttlSeconds: 8 });
  await registerAll(gateway, names(4, 'few'), { group: 'eu-1', ttlSeconds: 8 });
  // Silent at once, however long it took to register them: who lapses while most of the group is fresh is not held.
  for (let from = 0; from < all.length; from += MAX_BEATS) {
    await gateway.call.post('/heartbeats').send(all.slice(from, from + MAX_BEATS).map((instanceId) => ({ instanceId }))).expect(200);
  }
  await until(async () => (await gateway.events('expired')).length === 4, 15_000);
  expect((await gateway.events('expired')).map(({ group }) => group)).toEqual(['eu-1', 'eu-1', 'eu-1', 'eu-1']);
  expect(await gateway.raw.hget(gateway.keys.holds, 'game:kr-1')).toMatch(/ held$/);
  expect((await listed(gateway, 'type=game&group=kr-1')).instances).toHaveLength(2100);
});

test('two groups that fall silent at once are held each by itself, and a third is not', async () => {
  const gateway = await openSwept();
  for (const group of ['kr-1', 'kr-2', 'kr-3']) await registerAll(gateway, names(6, group), { group, ttlSeconds: 2 });
  keepBeating(gateway, names(6, 'kr-3'));
  await until(async () => (await gateway.events('held')).length === 2, 6000);
  await gateway.call.post('/groups/game/kr-1/evict').expect(200, { released: true });
  await until(async () => (await gateway.events('expired')).length === 6, 1500);
  expect(await suspects(gateway)).toEqual([]);
  expect((await listed(gateway, 'type=game&group=kr-2')).instances.filter(({ suspect }) => suspect)).toHaveLength(6);
  expect((await listed(gateway, 'type=game&group=kr-3')).instances).toHaveLength(6);
});

test('many instances of many groups that lapse in the same millisecond: each group is held', async () => {
  const gateway = await openRegistry({ fromMemory: true });
  const { registry, raw, keys } = gateway;
  const homes = names(30, 'g');
  await Promise.all(homes.flatMap((group) => names(50, group).map((instanceId) => registry.register(complete({ instanceId, group, ttlSeconds: 5 }), CALLER))));
  const end = (await redisNow(raw)) + 500;
  const multi = raw.multi();
  for (const group of homes) for (const id of names(50, group)) multi.zadd(keys.leases, end, `game:${group}:${id}`);
  await multi.exec();
  await until(async () => (await redisNow(raw)) > end + 500);
  expect(Object.entries(await raw.hgetall(keys.holds)).filter(([, text]) => text.endsWith(' held'))).toHaveLength(30);
});

test('what a view shows is what the sweep keeps, with any lease, grace and hold', async () => {
  const offset = fc.integer({ min: -30, max: 30 }).map((seconds) => seconds * 1000 + 500);
  const lease = fc.record({ group: fc.constantFrom('a', 'b', 'c'), score: offset, ttlSeconds: fc.integer({ min: 1, max: 20 }) });
  const hold = fc.record({ till: offset, state: fc.constantFrom('held', 'released') });
  await fc.assert(
    fc.asyncProperty(fc.array(lease, { maxLength: 12 }), offset, fc.dictionary(fc.constantFrom('a', 'b', 'c'), hold), async (leases, grace, holds) => {
      const opened = await openRegistry({ fromMemory: true });
      const { registry, raw, keys, maintenance } = opened;
      await Promise.all(leases.map(({ group, ttlSeconds }, i) => registry.register(complete({ instanceId: `i-${i}`, group, ttlSeconds }), CALLER)));
      const now = await redisNow(raw);
      const multi = raw.multi().set(keys.grace, Math.min(now + grace, now - 500)).set(keys.alive, now).hset(keys.holds, '', now + 400);
      leases.forEach(({ group, score }, i) => multi.zadd(keys.leases, now + score, `game:${group}:i-${i}`));
      for (const [group, { till, state }] of Object.entries(holds)) multi.hset(keys.holds, `game:${group}`, `${now - 60_000} ${now + till} ${now + till + 60_000} 5 8 ${state}`);
      await multi.exec();
      const fresh = await openReplica({ ...opened, redisUrl: `redis://127.0.0.1:${raw.options.port}` });
      const shown = fresh.view.answer({ limit: 100 }).read().instances.map(({ instanceId }) => instanceId).sort();
      const { evicted } = await maintenance.sweep();
      expect([...shown, ...evicted.map((member) => member.split(':')[2])].sort()).toEqual(leases.map((_, i) => `i-${i}`).sort());
      await fresh.close();
      await opened.reader.stop();
    }),
    { numRuns: 25, interruptAfterTimeLimit: 12_000 },
  );
});
