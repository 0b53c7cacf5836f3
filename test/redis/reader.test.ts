import { expect, inject, onTestFinished, test } from 'vitest';
import { sseFrames } from '../../src/http/sse-frames.js';
import { openReaderConnection } from '../../src/redis/open-store.js';
import { Reader } from '../../src/redis/reader.js';
import { RedisRegistry } from '../../src/redis/redis-registry.js';
import type { Store } from '../../src/redis/store.js';
import { parseRedisUrl } from '../../src/redis/url.js';
import type { Registry } from '../../src/registry/registry.js';
import { compareIds, parseRevision } from '../../src/registry/revision.js';
import { View } from '../../src/registry/view.js';
import { WatchHub } from '../../src/registry/watch-hub.js';
import { openRegistry, silent, type StoreSetup } from '../helpers/gateway.js';
import { openGate, Trap } from '../helpers/redis-gate.js';
import { startRedis } from '../helpers/redis.js';
import { FrameParser, type Frame } from '../helpers/sse.js';
import { CALLER, complete, readStore } from '../helpers/store.js';
import { until } from '../helpers/until.js';
import { openView } from '../helpers/view.js';

type Opened = Awaited<ReturnType<typeof openRegistry>>;
const ALL = { limit: 10_000 };
const names = (count: number, stem = 'i') => Array.from({ length: count }, (_, i) => `${stem}-${i}`);
const registerAll = (registry: Registry, ids: string[], ttlSeconds = 30) =>
  Promise.all(ids.map((instanceId, i) => registry.register(complete({ instanceId, group: `kr-${i % 3}`, ttlSeconds }), CALLER)));
const idsOf = (view: View) => view.answer(ALL).read().instances.map(({ instanceId }) => instanceId).sort();

/** All that a view knows, but for times that heartbeats may move on meanwhile. */
const pictureOf = (view: View) => ({
  etag: view.answer(ALL).etag,
  groups: view.groups(),
  members: [...view.table.members.values()].map(({ record: { head }, changedBy, lapsed }) => ({ head, changedBy, lapsed })).sort((a, b) => (a.head < b.head ? -1 : 1)),
  departed: [...view.table.departed].map(({ kind, change: { id, record: { instanceId } } }) => `${id} ${kind} ${instanceId}`),
  revision: view.revision,
});

/** The view is what one is that is loaded now, and what Redis says. */
async function expectAsFresh({ store, raw, keys }: Opened, view: View, url = inject('redisUrl')) {
  const fresh = await openView(store, { target: parseRedisUrl(url) });
  await until(() => view.revision === fresh.view.revision);
  expect(pictureOf(view)).toEqual(pictureOf(fresh.view));
  const { leases } = await readStore(raw, keys);
  expect(idsOf(view)).toEqual([...leases.keys()].map((member) => member.split(':')[2]).sort());
  await fresh.close();
}

/** What a watcher is sent, as frames. */
async function watchFrames(registry: Registry, from?: string) {
  const frames: Frame[] = [];
  const parser = new FrameParser((frame) => frames.push(frame));
  let [closed, gone] = [false, () => undefined as void];
  const sink = {
    write: (bytes: Buffer) => (parser.push(bytes.toString()), true),
    onDrain: () => undefined,
    get closed() {
      return closed;
    },
    onClose: (tell: () => void) => void (gone = tell),
    allowed: true,
    end: () => undefined,
    destroy: () => undefined,
  };
  await registry.watch({}, from, sink);
  onTestFinished(() => {
    closed = true;
    gone();
  });
  const told = () => frames.filter(({ event }) => event !== 'bookmark');
  /** Frames since the last `reset`, it included; waits for the snapshot behind it. */
  const sinceReset = () => until(() => {
    const at = told().map(({ event }) => event).lastIndexOf('reset');
    return at >= 0 && told()[at + 1]?.event === 'snapshot' ? told().slice(at) : undefined;
  });
  return { told, sinceReset };
}
const instancesIn = (frame: Frame | undefined) => (frame?.json<{ instances: { instanceId: string }[] }>().instances ?? []).map(({ instanceId }) => instanceId).sort();

/** Looks at the view all the time: how few it showed, how stale it said it was. */
function observe(view: View) {
  const seen = { fewest: Infinity, staleMs: 0, refused: 0 };
  const timer = setInterval(() => {
    try {
      seen.fewest = Math.min(seen.fewest, view.answer(ALL).read().instances.length);
      seen.staleMs = Math.max(seen.staleMs, view.staleMs ?? 0);
    } catch {
      seen.refused++;
    }
  }, 5);
  onTestFinished(() => clearInterval(timer));
  return seen;
}

/** A second view of the same store, behind a gate. */
async function openGated(opened: Opened, url = inject('redisUrl')) {
  const gate = await openGate(Number(new URL(url).port));
  onTestFinished(gate.close);
  const gated = await openView(opened.store, { target: parseRedisUrl(`redis://127.0.0.1:${gate.port}`) });
  return { gate, ...gated, registry: new RedisRegistry(opened.store, gated.view) };
}

test.each<[string, (opened: Opened) => Promise<unknown>]>([
  ['an entry that is no event', ({ raw, keys }) => raw.xadd(keys.events, '*', 'hello', 'world')],
  ['an entry without a record', ({ raw, keys }) => raw.xadd(keys.events, '*', 'kind', 'registered', 'prev', '')],
  ['a departure that nobody made', async ({ raw, keys }) => {
    const head = (await raw.hget(keys.epoch, 'head')) as string;
    await raw.xadd(keys.events, '*', 'kind', 'expired', 'prev', head, 'instanceId', 'i-0', 'type', 'game', 'group', 'kr-0');
  }],
  ['an entry far ahead of the clock', ({ raw, keys }) => raw.xadd(keys.events, '9999999999999-0', 'hello', 'world')],
  ['an entry of a kind still to come', async ({ raw, keys }) => {
    const head = (await raw.hget(keys.epoch, 'head')) as string;
    await raw.xadd(keys.events, '*', 'kind', 'renamed', 'prev', head, 'instanceId', 'i-0', 'type', 'game', 'group', 'kr-0');
  }],
])('written into the log by hand, %s is got over', async (_, write) => {
  const opened = await openRegistry();
  const { registry, view } = opened;
  await registerAll(registry, names(5));
  await registry.discover(ALL);
  await write(opened);
  await registerAll(registry, names(5, 'later'));
  await registry.patch('i-1', { status: 'error' }, CALLER);
  await registry.remove('i-2', {}, CALLER);
  await until(() => idsOf(view).length === 9);
  await expectAsFresh(opened, view);
});

test('beats written by hand, without ids or with too few performances, renew who is named and nobody else', async () => {
  const { registry, view, raw, keys } = await openRegistry();
  await registerAll(registry, names(2));
  await registry.discover(ALL);
  for (const fields of [['hello', 'world'], ['ids', 'i-0  nobody'], ['ids', 'i-0 i-1', 'performance', '{"tps":1}']]) await raw.xadd(keys.beats, '*', ...fields);
  await until(() => view.find('i-0')?.instance.performance);
  expect(view.find('i-1')?.instance.performance).toBeUndefined();
  expect(view.table.members.size).toBe(2);
});

test('a performance that is no JSON, written into the beats by hand, spoils no answer', async () => {
  const { registry, view, raw, keys } = await openRegistry();
  await registerAll(registry, names(2));
  await registry.discover(ALL);
  await raw.xadd(keys.beats, '*', 'ids', 'i-0 i-1', 'performance', '{"tps":\n{"tps":2}');
  await until(() => view.table.members.get('i-1')?.performance);
  expect(view.answer(ALL).read().instances).toHaveLength(2);
});

test('a deleted stream disturbs nobody: watchers go on without a reset', async () => {
  const opened = await openRegistry();
  const { registry, view, raw, keys } = opened;
  await registerAll(registry, names(5));
  await registry.discover(ALL);
  const { told } = await watchFrames(registry);
  await raw.del(keys.events);
  await registry.register(complete({ instanceId: 'later' }), CALLER);
  await until(() => told().length === 2);
  expect(told().map(({ event }) => event)).toEqual(['snapshot', 'registered']);
  expect(pictureOf(view).members).toHaveLength(6);
});

test('after the epoch is lost everything is read again, watchers start over, and positions that are given out can be asked for', async () => {
  const opened = await openRegistry();
  const { registry, view, raw, keys } = opened;
  await registerAll(registry, names(5));
  const { revision } = await registry.discover(ALL);
  const [watcher, seen] = [await watchFrames(registry), observe(view)];
  await raw.del(keys.epoch);
  const [reset, snapshot] = await watcher.sinceReset();
  expect([reset?.event, instancesIn(snapshot)]).toEqual(['reset', names(5)]);
  expect(seen).toMatchObject({ fewest: 5, refused: 0 });
  await expectAsFresh(opened, view);
  expect(watcher.told().filter(({ event }) => event === 'reset'), 'it starts over once').toHaveLength(1);
  const found = view.find('i-0');
  await registry.find('i-0', { minRevision: found?.revision ?? '' }); // 503 for a position that will never be reached
  await registry.find('i-0', { minRevision: revision }); // of the lost epoch: as strong
});

test.each([0, 3])('a log that was trimmed past a reader who was away (%i entries left) is read again; others notice nothing', async (left) => {
  const opened = await openRegistry();
  const { registry, raw, keys } = opened;
  await registerAll(registry, names(20));
  const { gate, ...away } = await openGated(opened);
  const [watcher, steady, seen] = [await watchFrames(away.registry), await watchFrames(registry), observe(away.view)];
  gate.cut();
  await registerAll(registry, names(20, 'later'));
  for (const id of names(5)) await registry.remove(id, {}, CALLER);
  await registry.discover(ALL); // those who are there have read it
  await raw.xtrim(keys.events, 'MAXLEN', left);
  gate.mend();
  const [reset, snapshot] = await watcher.sinceReset();
  expect([reset?.event, instancesIn(snapshot).length]).toEqual(['reset', 35]);
  expect(seen).toMatchObject({ fewest: 20, refused: 0 });
  expect(steady.told().map(({ event }) => event)).not.toContain('reset');
  await expectAsFresh(opened, away.view);
  // Who was told the new start resumes from it.
  const resumed = await watchFrames(away.registry, snapshot?.id);
  await registry.register(complete({ instanceId: 'last' }), CALLER);
  await until(() => resumed.told().length > 0);
  expect(resumed.told().map(({ event }) => event)).toEqual(['registered']);
});

test('after a new start a watcher is told only what came behind the snapshot', async () => {
  const opened = await openRegistry();
  const { registry, raw, keys } = opened;
  await registerAll(registry, names(5));
  const { gate, ...gated } = await openGated(opened);
  const watcher = await watchFrames(gated.registry);
  // Something is registered while the whole registry is being read again.
  gate.arm(new Trap('hgetall', (_, release) => void registry.register(complete({ instanceId: 'meanwhile' }), CALLER).then(release)));
  gate.cut();
  await registry.register(complete({ instanceId: 'lost' }), CALLER);
  await registry.discover(ALL);
  await raw.xtrim(keys.events, 'MAXLEN', 0);
  gate.mend();
  const [, snapshot] = await watcher.sinceReset();
  await registry.register(complete({ instanceId: 'last' }), CALLER);
  await until(() => watcher.told().at(-1)?.data.includes('"last"'));
  const behind = (await watcher.sinceReset()).slice(2);
  const at = parseRevision(snapshot?.id ?? '')?.id ?? '';
  const repeated = behind.filter(({ id }) => compareIds(parseRevision(id ?? '')?.id ?? '', at) <= 0).map(({ event, id }) => `${event} ${id}`);
  expect(repeated).toEqual([]);
  expect(behind.at(-1)?.event).toBe('registered');
});

test('flushed scripts are loaded again without a pause', async () => {
  const opened = await openRegistry();
  const { registry, view, raw } = opened;
  await registerAll(registry, names(5));
  await registry.discover(ALL);
  const watcher = await watchFrames(registry);
  for (let i = 0; i < 10; i++) {
    await raw.script('FLUSH');
    await registry.register(complete({ instanceId: `later-${i}` }), CALLER);
    await registry.find(`later-${i}`);
  }
  expect(view.staleMs).toBeUndefined();
  await until(() => watcher.told().length === 11);
  expect(watcher.told().map(({ event }) => event)).not.toContain('reset');
  await expectAsFresh(opened, view);
});

test('a connection that has gone dark is given up: meanwhile answers go on and say that they are stale, and nobody is dropped', async () => {
  const opened = await openRegistry();
  const { registry } = opened;
  await registerAll(registry, names(10), 2);
  const { gate, view, reader } = await openGated(opened);
  const seen = observe(view);
  const beats = setInterval(() => void registry.heartbeat(names(10).map((instanceId) => ({ instanceId }))), 300);
  onTestFinished(() => clearInterval(beats));
  gate.halt();
  await until(() => view.staleMs);
  await until(() => !reader.fresh);
  await until(() => seen.staleMs > 2500); // longer than the leases
  await registry.register(complete({ instanceId: 'later' }), CALLER);
  expect(view.find('later')).toBeUndefined();
  gate.mend();
  await until(() => view.find('later'));
  await until(() => view.staleMs === undefined && reader.fresh);
  expect(seen).toMatchObject({ fewest: 10, refused: 0 });
  await expectAsFresh(opened, view);
});

test('beats that were trimmed while a reader was away for long do not cost anybody the lease', { timeout: 40_000 }, async () => {
  const opened = await openRegistry();
  const { registry, raw, keys } = opened;
  await registerAll(registry, names(10), 4);
  await registerAll(registry, names(3, 'silent'), 4);
  const { gate, view } = await openGated(opened);
  const seen = observe(view);
  const beats = setInterval(() => void registry.heartbeat(names(10).map((instanceId) => ({ instanceId }))), 300);
  onTestFinished(() => clearInterval(beats));
  gate.cut();
  await until(() => seen.staleMs > 11_000, 15_000);
  expect(seen.fewest).toBe(13);
  clearInterval(beats); // the last renewal is among the lost
  await registry.heartbeat(names(10).map((instanceId) => ({ instanceId })));
  await raw.xtrim(keys.beats, 'MAXLEN', 0);
  gate.mend();
  await until(() => view.staleMs === undefined);
  expect(idsOf(view)).toEqual(names(10));
  expect(seen.fewest).toBeGreaterThanOrEqual(10);
  expect(seen.refused).toBe(0);
  const [, flat] = await raw.zscan(keys.leases, '0', 'COUNT', 100);
  const scores = new Map(flat.flatMap((member, i) => (i % 2 === 0 ? [[member.split(':')[2], Number(flat[i + 1])] as const] : [])));
  for (const id of names(10)) expect(view.table.members.get(id)?.scoreMs).toBe(scores.get(id));
});

/** As a replica over an external Redis has it: a young epoch is not believed at once. */
async function openCautious(store: Store, url: string) {
  const config = { target: parseRedisUrl(url) };
  const view = new View({ hub: new WatchHub(sseFrames, { ended: () => undefined }), maxStaleMs: 3_600_000 });
  const observer = { reachable: () => undefined, applied: () => undefined, loaded: () => undefined, recovered: () => undefined };
  const source = { ...store, connection: await openReaderConnection(config, silent) };
  const reader = new Reader(source, await openReaderConnection(config, silent), view, { offlineMs: 300_000, ownStore: false, observer }, silent);
  await reader.start();
  onTestFinished(async () => {
    view.end();
    await reader.stop();
  });
  await until(() => view.loaded);
  return { view, reader };
}

async function openOwn(args: string[] = [], setup: StoreSetup = {}) {
  const redis = await startRedis(args);
  onTestFinished(redis.stop);
  return { redis, ...(await openRegistry({ ...setup, redisUrl: redis.url })) };
}

test('while a flushed Redis is young the old answers go on, said to be stale, and then the new ones are whole', async () => {
  const { redis, ...opened } = await openOwn();
  const { registry, raw, store } = opened;
  await registerAll(registry, names(10));
  const { view } = await openCautious(store, redis.url);
  const cautious = new RedisRegistry(store, view);
  const [watcher, seen] = [await watchFrames(cautious), observe(view)];
  await raw.flushall();
  await until(async () => (await registry.heartbeat([{ instanceId: 'i-0' }]))[0]?.status === 404);
  await until(() => (view.staleMs ?? 0) > 500);
  await registerAll(registry, names(10)); // told 404 by their heartbeats
  const [, snapshot] = await watcher.sinceReset();
  expect(instancesIn(snapshot)).toEqual(names(10));
  expect(seen).toMatchObject({ fewest: 10, refused: 0 });
  expect(seen.staleMs).toBeGreaterThan(1500);
  expect(view.staleMs).toBeUndefined();
  await expectAsFresh(opened, view, redis.url);
});

test('a Redis that was killed and comes back with its data is followed again, and nobody was dropped', async () => {
  const { redis, ...opened } = await openOwn(['--appendonly', 'yes', '--appendfsync', 'always']);
  const { registry, view } = opened;
  await registerAll(registry, names(10), 3);
  await registry.discover(ALL);
  const [watcher, seen] = [await watchFrames(registry), observe(view)];
  await redis.kill();
  await until(() => seen.staleMs > 3500); // longer than the leases, and than what counts as an outage
  await redis.restart();
  await until(() => view.staleMs === undefined);
  const beat = () => registry.heartbeat(names(10).map((instanceId) => ({ instanceId })));
  await until(async () => (await beat()).every(({ status }) => status === 200));
  const beats = setInterval(() => void beat(), 300);
  onTestFinished(() => clearInterval(beats));
  await registry.register(complete({ instanceId: 'later' }), CALLER);
  await until(() => watcher.told().at(-1)?.event === 'registered');
  expect(watcher.told().map(({ event }) => event)).toEqual(['snapshot', 'registered']);
  expect(seen).toMatchObject({ fewest: 10, refused: 0 });
  await expectAsFresh(opened, view, redis.url);
});
