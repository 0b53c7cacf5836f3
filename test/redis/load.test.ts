import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import fc from 'fast-check';
import { expect, inject, onTestFinished, test } from 'vitest';
import { parseRedisUrl } from '../../src/redis/url.js';
import type { Registry } from '../../src/registry/registry.js';
import { RegistryError } from '../../src/registry/errors.js';
import { openRegistry } from '../helpers/gateway.js';
import { openGate, Trap } from '../helpers/redis-gate.js';
import { CALLER, complete, lapse, readStore } from '../helpers/store.js';
import { until } from '../helpers/until.js';
import { openView } from '../helpers/view.js';

type Opened = Awaited<ReturnType<typeof openRegistry>>;
type View = Awaited<ReturnType<typeof openView>>['view'];
const target = () => ({ target: parseRedisUrl(inject('redisUrl')) });

/** Every instance of the view, with the end of its lease, as Redis has them. */
async function expectAsInRedis({ raw, keys, registry }: Opened, view: View) {
  const { revision } = await registry.discover({ limit: 1 });
  await until(() => view.revision === revision);
  const { leases, records } = await readStore(raw, keys);
  const held = new Map([...view.table.members.values()].map(({ record: { type, group, instanceId }, scoreMs }) => [`${type}:${group}:${instanceId}`, scoreMs]));
  await until(() => [...leases].every(([member, score]) => view.table.members.get(member.split(':')[2] as string)?.scoreMs === score), 1500).catch(() => undefined); // the last beats
  expect([...held.keys()].sort()).toEqual([...leases.keys()].sort());
  for (const [id, fields] of records) {
    const { instance, revision: changedBy } = view.find(id) ?? {};
    if (!instance) {
      expect(Date.parse(fields.expiresAt ?? ''), `${id} is shown by nobody`).toBeLessThanOrEqual(view.table.watermarkMs);
      continue;
    }
    expect(changedBy).toBe(fields.revision);
    const { hostname, incarnation, type, group, status, registeredAt, updatedAt, expiresAt, performance } = instance;
    expect({ hostname, incarnation, type, group, status, registeredAt, updatedAt, expiresAt }).toEqual({
      hostname: fields.hostname, incarnation: fields.incarnation, type: fields.type, group: fields.group, status: fields.status,
      registeredAt: fields.registeredAt, updatedAt: fields.updatedAt, expiresAt: fields.expiresAt,
    });
    // A change and a heartbeat of one millisecond stand in two streams, and nothing says which came first.
    if (fields.lastHeartbeat !== fields.updatedAt) expect(performance && JSON.stringify(performance)).toBe(fields.performance);
    expect(view.table.members.get(id)?.scoreMs).toBe(leases.get(`${fields.type}:${fields.group}:${id}`));
  }
}

/** Registers, renews, changes, moves and removes at random until told to stop. */
function keepBusy(registry: Registry, seed: number) {
  const draws = fc.sample(fc.record({ verb: fc.nat(9), n: fc.nat(399), of: fc.nat(2), life: fc.nat(1) }), { numRuns: 20_000, seed });
  let running = true;
  const work = async (mine: typeof draws) => {
    for (const { verb, n, of, life } of mine) {
      if (!running) return;
      const [instanceId, group] = [`i-${n}`, `kr-${of}`];
      const done: Promise<unknown> =
        verb < 4 ? registry.register(complete({ instanceId, group, incarnation: `life-${life}`, hostname: `h-${of}.example.com`, ttlSeconds: 60 + of, performance: { n: verb } }), CALLER)
        : verb < 7 ? registry.heartbeat([{ instanceId, performance: { tps: n + verb } }])
        : verb < 8 ? registry.patch(instanceId, { status: of ? 'error' : 'ready' }, CALLER)
        : registry.remove(instanceId, {}, CALLER);
      await done.catch((error: unknown) => {
        if (!(error instanceof RegistryError && error.code === 'instance_not_found')) throw error;
      });
      await sleep(1);
    }
  };
  const all = Promise.all(Array.from({ length: 8 }, (_, i) => work(draws.slice(i * 2500, (i + 1) * 2500))));
  return async () => {
    running = false;
    await all;
  };
}

test.each([1, 2])('views that are loaded while many write are what Redis holds when the writers rest (%i)', async (seed) => {
  const opened = await openRegistry();
  const { registry, store } = opened;
  await Promise.all(Array.from({ length: 1500 }, (_, i) => registry.register(complete({ instanceId: `steady-${i}`, group: `kr-${i % 3}`, ttlSeconds: 60 }), CALLER)));
  const stop = keepBusy(registry, seed);
  await sleep(100);
  const views: View[] = [];
  for (let i = 0; i < 4; i++) views.push((await openView(store, target())).view);
  await stop();
  for (const view of [opened.view, ...views]) await expectAsInRedis(opened, view);
  expect(new Set([opened.view, ...views].map((view) => view.answer({ limit: 10_000 }).etag)).size).toBe(1);
});

/** A view whose records are held back on their way, when the leases have been read, until `meanwhile` is done. */
async function loadAcross({ store }: Opened, meanwhile: () => Promise<unknown>) {
  const gate = await openGate(Number(new URL(inject('redisUrl')).port));
  onTestFinished(gate.close);
  gate.arm(new Trap('hgetall', (_, release) => void meanwhile().then(release)));
  return (await openView(store, { target: parseRedisUrl(`redis://127.0.0.1:${gate.port}`) })).view;
}

test.each<[string, (opened: Opened) => Promise<unknown>]>([
  ['registered again with other content', ({ registry }) => registry.register(complete({ hostname: 'other.example.com', ttlSeconds: 60 }), CALLER)],
  ['registered again with a shorter lease', ({ registry }) => registry.register(complete({ ttlSeconds: 2 }), CALLER)],
  ['replaced by another incarnation', ({ registry }) => registry.register(complete({ incarnation: 'life-2', ttlSeconds: 60 }), CALLER)],
  ['moved', ({ registry }) => registry.register(complete({ group: 'us-1', ttlSeconds: 60 }), CALLER)],
  ['renewed', ({ registry }) => registry.heartbeat([{ instanceId: 'a', performance: { tps: 1 } }])],
  ['renewed with a patch', ({ registry }) => registry.heartbeat([{ instanceId: 'a', status: 'error' }])],
  ['patched', ({ registry }) => registry.patch('a', { status: 'error' }, CALLER)],
  ['removed', ({ registry }) => registry.remove('a', {}, CALLER)],
  ['removed and registered again', async ({ registry }) => {
    await registry.remove('a', {}, CALLER);
    await registry.register(complete({ ttlSeconds: 60 }), CALLER);
  }],
])('one that is %s between the reading of its lease and of its record is held as Redis has it', async (_, meanwhile) => {
  const opened = await openRegistry();
  await opened.registry.register(complete({ ttlSeconds: 20 }), CALLER);
  await opened.registry.register(complete({ instanceId: 'b' }), CALLER);
  const view = await loadAcross(opened, () => meanwhile(opened));
  await expectAsInRedis(opened, view);
});

test('one that had lapsed, and is registered again while the view is loaded, is shown', async () => {
  const opened = await openRegistry();
  const { registry, raw, keys } = opened;
  await registry.register(complete(), CALLER);
  await lapse(raw, keys, ['a']);
  const view = await loadAcross(opened, () => registry.register(complete({ hostname: 'other.example.com' }), CALLER));
  expect(view.find('a')?.instance.hostname).toBe('other.example.com');
});

test('what was spoilt by hand is left out of a loaded view, and hides nobody else', async () => {
  const opened = await openRegistry();
  const { registry, raw, keys, store } = opened;
  for (const instanceId of ['good', 'string', 'gone', 'elsewhere']) await registry.register(complete({ instanceId }), CALLER);
  await raw.multi().set(keys.record('string'), 'x').del(keys.record('gone')).hset(keys.record('elsewhere'), 'group', 'us-1')
    .zadd(keys.leases, 9e12, 'game:kr-1:nobody', 9e12, 'no-colon', 9e12, '').exec();
  const { view } = await openView(store, target());
  expect([...view.table.members.keys()]).toEqual(['good']);
});

test('a loaded view lists who left before it, with how', async () => {
  const opened = await openRegistry();
  const { registry, store } = opened;
  for (const instanceId of ['a', 'b', 'c']) await registry.register(complete({ instanceId }), CALLER);
  for (const instanceId of ['a', 'b']) await registry.remove(instanceId, {}, CALLER);
  await registry.register(complete({ instanceId: 'b' }), CALLER);
  const { view } = await openView(store, target());
  const { instances } = view.answer({ offline: true, limit: 10 }).read() as { instances: { instanceId: string; departed?: { kind: string; by: string } }[] };
  expect(instances.map(({ instanceId, departed }) => [instanceId, departed?.kind, departed?.by])).toEqual([['a', 'removed', 'a-test'], ['b', undefined, undefined], ['c', undefined, undefined]]);
});

/** Time that this thread was at work, in ms: that others want the processor does not count. Only Linux tells. */
function workedMs(): number {
  try {
    return Number(readFileSync(`/proc/${process.pid}/task/${process.pid}/schedstat`, 'utf8').split(' ')[0]) / 1e6;
  } catch {
    return performance.now();
  }
}

/** For how long one turn of the event loop was at work, at most. */
function watchLoop() {
  let [longestMs, before, stopped] = [0, workedMs(), false];
  const look = () => {
    const now = workedMs();
    longestMs = Math.max(longestMs, now - before);
    before = now;
    if (!stopped) setImmediate(look);
  };
  setImmediate(look);
  return {
    stop: () => {
      stopped = true;
      look();
      return longestMs;
    },
  };
}

test('to load 20,000 instances never holds the event loop for long', { timeout: 60_000 }, async () => {
  const opened = await openRegistry();
  const { registry, store } = opened;
  for (let from = 0; from < 20_000; from += 500) {
    const some = Array.from({ length: 500 }, (_, i) => complete({ instanceId: `i-${from + i}`, group: `kr-${(from + i) % 50}`, ttlSeconds: 600, labels: { zone: 'a', version: '1.4.2' }, systemInfo: { os: 'linux', cpus: 8 } }));
    await Promise.all(some.map((one) => registry.register(one, CALLER)));
  }
  const startedAt = performance.now();
  const loop = watchLoop();
  const { view } = await openView(store, target());
  const longestMs = loop.stop();
  console.info(`20,000 instances: read in ${Math.round(performance.now() - startedAt)} ms, event loop held for at most ${longestMs.toFixed(1)} ms`);
  expect(view.size).toBe(20_000);
  expect(longestMs).toBeLessThan(50);
});
