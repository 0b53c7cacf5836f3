import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import fc from 'fast-check';
import { Redis } from 'ioredis';
import { expect, inject, onTestFinished, test } from 'vitest';
import { Load } from '../../src/redis/load/load.js';
import { parseRedisUrl } from '../../src/redis/connect/url.js';
import type { Store } from '../../src/redis/scripts/store.js';
import type { ServedRegistry } from '../../src/registry/served/served-registry.js';
import { RegistryError } from '../../src/registry/errors.js';
import type { Table } from '../../src/registry/table/table.js';
import { openDelayGate } from '../guarantees/helpers/delay-gate.js';
import { openRegistry } from '../helpers/gateway.js';
import { startRedis } from '../helpers/redis.js';
import { openGate, Trap } from '../helpers/redis-gate.js';
import { CALLER, complete, lapse, readStore, redisNow } from '../helpers/store.js';
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
function keepBusy(registry: ServedRegistry, seed: number) {
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
  gate.arm(new Trap('systemInfo performance check', (_, release) => void meanwhile().then(release)));
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

/** A way to Redis that takes `ms` each way, and counts what the reader asks. */
async function openSlow(url: string, ms: number, asked: (bytes: Buffer) => unknown = () => undefined) {
  const gate = await openDelayGate(Number(new URL(url).port));
  onTestFinished(gate.close);
  gate.delay(({ role, to, bytes }) => {
    if (role === 'reader' && to === 'redis') asked(bytes);
    return ms;
  });
  return { target: parseRedisUrl(`redis://127.0.0.1:${gate.port}`) };
}

const registerMany = async (registry: ServedRegistry, count: number) => {
  for (let from = 0; from < count; from += 250) {
    await Promise.all(Array.from({ length: 250 }, (_, i) => registry.register(complete({ instanceId: `i-${from + i}`, group: `kr-${i % 5}`, ttlSeconds: 600 }), CALLER)));
  }
};

test('where a round trip is slow, a load takes few of them', { timeout: 60_000 }, async () => {
  const { registry, store } = await openRegistry();
  await registerMany(registry, 5000);
  let asked = 0;
  const { view } = await openView(store, await openSlow(inject('redisUrl'), 20, () => asked++));
  expect(view.size).toBe(5000);
  expect(asked).toBeLessThan(70); // round trips of reads while it waits for its turn included
});

test('a load ends while more is changed than the log holds', { timeout: 60_000 }, async () => {
  const opened = await openRegistry({ eventsMax: 500 });
  const { registry, store, raw, keys } = opened;
  await registerMany(registry, 8000);
  let changed = 0;
  const change = (bytes: Buffer) => {
    if (!bytes.includes('zscan')) return; // with each page of leases, less than the log holds; with all of them, more
    const from = (changed += 200) % 7800;
    void registry.heartbeat(Array.from({ length: 200 }, (_, i) => ({ instanceId: `i-${from + i}`, customState: `at ${changed}` })));
  };
  const reasons: string[] = [];
  const { view } = await openView(store, await openSlow(inject('redisUrl'), 10, change), onTestFinished, undefined, (reason) => reasons.push(reason));
  expect(reasons).toEqual(['start']);
  expect(changed, 'more was changed than the log holds').toBeGreaterThan(700);
  expect(await raw.xlen(keys.events)).toBeLessThan(700);
  await expectAsInRedis(opened, view);
});

/** Behind what the ring takes of the log, and within what is looked at. */
const RESTORED = 20_005;

test('a start looks back at a bounded part of the log, and lists who left in it', { timeout: 60_000 }, async () => {
  const redis = await startRedis();
  onTestFinished(redis.stop);
  const raw = new Redis(redis.url);
  onTestFinished(() => raw.disconnect());
  const [now, count] = [await redisNow(raw), 45_000];
  for (let from = 0; from < count; from += 5000) {
    const pipeline = raw.pipeline();
    for (let i = from; i < from + 5000; i++) {
      const id = `${now - 60_000 + i}-1`;
      const kind = i % 100 === 0 ? 'removed' : i === RESTORED ? 'restored' : 'updated';
      pipeline.xadd('far:events', id, 'kind', kind, 'cause', 'patch', 'prev', i === 0 ? '' : `${now - 60_001 + i}-1`, ...(i === RESTORED ? ['of', '5-5'] : []), 'instanceId', `i-${i}`, 'type', 'game', 'group', 'kr-1', 'hostname', 'h', 'ttlSeconds', '30');
    }
    await pipeline.exec();
  }
  await raw.hset('far:epoch', { id: 'old1', at: now - 60_000, head: `${now - 60_000 + count - 1}-1`, from: '' });
  await raw.hset(`far:record:i-${RESTORED}`, { instanceId: `i-${RESTORED}`, type: 'game', group: 'kr-1', hostname: 'h', ttlSeconds: '600', revision: `old1.${now - 60_000 + RESTORED}-1` });
  await raw.zadd('far:leases', now + 600_000, `game:kr-1:i-${RESTORED}`);
  await raw.config('RESETSTAT');
  const { view } = await openRegistry({ redisUrl: redis.url, prefix: 'far:' });
  expect(view.table.members.get(`i-${RESTORED}`)?.of, 'which entry it was restored from').toBe('5-5');
  const calls = Number(/cmdstat_xrevrange:calls=(\d+)/.exec(await raw.info('commandstats'))?.[1]);
  expect(calls).toBeLessThan(650); // of 50 entries each: 30,000 of the 45,000
  const left = [...view.table.departed].map(({ change: { record } }) => record.instanceId);
  expect([left.length, left[0], left.at(-1)]).toEqual([300, 'i-15000', 'i-44900']);
  expect([view.ring.next - view.ring.first, view.ring.at(view.ring.next - 1)?.record.instanceId]).toEqual([10_000, 'i-44999']);
});

/** Loads, and counts what of it came from Redis: whose whole record, and the letters of each reply. */
async function loadCounted(store: Store, known?: Table, trusted = false) {
  const [whole, letters]: [string[], number[]] = [[], []];
  const run: Store['scripts']['run'] = async (connection, verb, args) => {
    const reply = await store.scripts.run(connection, verb, args);
    if (verb !== 'load') return reply;
    letters.push((reply as string).length);
    for (const row of JSON.parse(reply as string) as string[][]) if (row.length > 4) whole.push(row[2] as string);
    return reply;
  };
  const scripts = Object.assign(Object.create(store.scripts) as Store['scripts'], { run });
  const load = await Load.begin({ ...store, scripts }, 300_000, known, trusted);
  do await load.ask(true);
  while (!(await load.step()));
  return { table: load.table, whole, letters };
}
const headsOf = ({ members }: Table) => [...members.values()].map(({ record: { head, tag } }) => `${head} ${tag.hi} ${tag.lo}`).sort();

test('what has not changed is not kept twice while the registry is read again, nor, after a lag, read twice', async () => {
  const { registry, store, raw, keys } = await openRegistry();
  await registerMany(registry, 250);
  await registry.patch('i-7', { customState: 'ü "\\\u0001/ \u2028', labels: { a: '1' } }, CALLER);
  const first = await loadCounted(store);
  expect(first.whole).toHaveLength(250);
  await registry.patch('i-8', { status: 'error' }, CALLER);
  await registry.register(complete({ instanceId: 'i-9', group: 'us-1' }), CALLER);
  await registry.heartbeat([{ instanceId: 'i-10', performance: { tps: 7 } }]);
  const again = await loadCounted(store, first.table, true);
  expect(again.whole.sort()).toEqual(['i-8', 'i-9']);
  expect(Math.max(...again.letters)).toBeLessThan(Math.max(...first.letters) / 2);
  const { table } = await loadCounted(store);
  expect(headsOf(again.table)).toEqual(headsOf(table));
  for (const [id, { performance, renewedAtMs, changedBy, of, scoreMs }] of table.members) expect(again.table.members.get(id)).toMatchObject({ performance, renewedAtMs, changedBy, of, scoreMs });
  expect(again.table.members.get('i-10')?.performance).toBe('{"tps":7}');
  for (const id of ['i-0', 'i-7']) expect(again.table.members.get(id)?.record).toBe(first.table.members.get(id)?.record);
  await raw.hset(keys.record('i-0'), 'hostname', 'by-hand.example.com');
  const doubted = await loadCounted(store, first.table);
  expect(doubted.whole).toHaveLength(250);
  expect(doubted.table.members.get('i-0')?.record.head).toContain('by-hand.example.com');
  expect(doubted.table.members.get('i-1')?.record).toBe(first.table.members.get('i-1')?.record);
});

test('where records are large, a reply holds fewer of them', async () => {
  const { registry, store } = await openRegistry();
  const systemInfo = { text: 'x'.repeat(8000) };
  await Promise.all(Array.from({ length: 150 }, (_, i) => registry.register(complete({ instanceId: `i-${i}`, systemInfo }), CALLER)));
  const { table, letters } = await loadCounted(store);
  expect(table.members.size).toBe(150);
  expect(letters.length).toBeGreaterThan(3);
  expect(Math.max(...letters)).toBeLessThan(300_000);
});
