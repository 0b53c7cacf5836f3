import { expect, onTestFinished, test } from 'vitest';
import { compareIds, parseRevision } from '../../src/registry/revision.js';
import { openRegistry } from '../helpers/gateway.js';
import { ALL, expectAsFresh, idsOf, instancesIn, names, observe, openGated, openOwn, pictureOf, registerAll, type Opened } from '../helpers/reader-view.js';
import { Trap } from '../helpers/redis-gate.js';
import { CALLER, complete } from '../helpers/store.js';
import { until } from '../helpers/until.js';
import { watchFrames } from '../helpers/watch-frames.js';

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
  gate.arm(new Trap('systemInfo performance check', (_, release) => void registry.register(complete({ instanceId: 'meanwhile' }), CALLER).then(release)));
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
  await until(() => !reader.last.fresh);
  await until(() => seen.staleMs > 2500); // longer than the leases
  await registry.register(complete({ instanceId: 'later' }), CALLER);
  expect(view.find('later')).toBeUndefined();
  gate.mend();
  await until(() => view.find('later'));
  await until(() => view.staleMs === undefined && reader.last.fresh);
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
