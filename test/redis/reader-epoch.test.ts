import { expect, inject, onTestFinished, test } from 'vitest';
import { serve } from '../../src/redis/serve.js';
import { parseRevision } from '../../src/registry/revision.js';
import { openRegistry } from '../helpers/gateway.js';
import { ALL, expectAsFresh, idsOf, instancesIn, names, observe, openCautious, openGated, openOwn, registerAll, type Opened } from '../helpers/reader-view.js';
import { CALLER, complete, expectAgreement, expectChain, readStore } from '../helpers/store.js';
import { until } from '../helpers/until.js';
import { watchFrames } from '../helpers/watch-frames.js';

const epochOf = async ({ raw, keys }: Opened) => (await raw.hget(keys.epoch, 'id')) ?? '';

/** The store has everything again: this watcher was given a position of an epoch other than `before`. */
const recovered = (opened: Opened, { frames }: Awaited<ReturnType<typeof watchFrames>>, before: string) =>
  until(async () => {
    const epoch = await epochOf(opened);
    return epoch !== before && frames.some(({ event, id }) => event === 'bookmark' && parseRevision(id ?? '')?.epoch === epoch);
  });

test('a view of nothing, whose store is emptied, goes on in the new epoch', async () => {
  const { registry, view, raw, keys } = await openRegistry();
  const { epoch } = view.table.position;
  await raw.del(keys.epoch);
  await until(() => view.table.position.epoch !== epoch);
  await registry.register(complete(), CALLER);
  expect((await registry.discover({ limit: 10 })).answer.read().instances).toMatchObject([{ instanceId: 'a' }]);
});

test('an epoch deleted by hand is followed by one that goes on behind the last entry: nobody starts over, and positions that are given out can be asked for', async () => {
  const opened = await openRegistry();
  const { registry, view, raw, keys } = opened;
  await registerAll(registry, names(5));
  const { revision } = await registry.discover(ALL);
  const before = await epochOf(opened);
  const [watcher, seen] = [await watchFrames(registry), observe(view)];
  await raw.del(keys.epoch);
  await recovered(opened, watcher, before);
  await registry.register(complete({ instanceId: 'later' }), CALLER);
  await until(() => watcher.told().length === 2);
  expect(watcher.told().map(({ event }) => event)).toEqual(['snapshot', 'registered']);
  expect(seen).toMatchObject({ fewest: 5, refused: 0 });
  const { events } = await readStore(raw, keys);
  expectChain(events);
  expect(events.map(({ kind }) => kind), 'nothing was lost, so nothing is restored').toEqual(Array<string>(6).fill('registered'));
  await expectAsFresh(opened, view);
  const found = view.find('i-0');
  await registry.find('i-0', { minRevision: found?.revision ?? '' }); // 503 for a position that will never be reached
  await registry.find('i-0', { minRevision: revision }); // of the lost epoch: as strong
});

test('a Redis that is flushed is given back everything: answers go on, and watchers are told a position of the new epoch and nothing else', async () => {
  const { redis, ...opened } = await openOwn();
  const { registry, raw, store, keys } = opened;
  await registerAll(registry, names(10));
  await registry.patch('i-1', { status: 'error', labels: { zone: 'b' }, cordoned: true }, CALLER);
  const cautious = await openCautious(store, redis.url);
  await registry.remove('i-9', {}, CALLER);
  await until(() => [opened.view, cautious.view].every((view) => idsOf(view).length === 9));
  const watcher = await watchFrames(serve(store, cautious.view));
  const [before, seen] = [await epochOf(opened), observe(cautious.view)];
  await raw.flushall();
  await recovered(opened, watcher, before);
  const state = await readStore(raw, keys);
  expectAgreement(state);
  expectChain(state.events);
  expect([...state.records.keys()].sort()).toEqual(names(9));
  expect(state.records.get('i-1')).toMatchObject({ status: 'error', labels: '{"zone":"b"}', cordoned: '1' });
  const written = state.events.map(({ kind, instanceId }) => `${kind} ${instanceId}`).filter((line) => line !== 'removed i-9'); // written only while it is recent
  expect(written.sort(), 'two replicas knew them, and each is there once').toEqual(names(9).map((id) => `restored ${id}`));
  expect(watcher.told().map(({ event }) => event)).toEqual(['snapshot']);
  expect(seen).toMatchObject({ fewest: 9, refused: 0 });

  await registry.register(complete({ instanceId: 'later' }), CALLER);
  await until(() => watcher.told().length === 2);
  expect(watcher.told().at(-1)?.event).toBe('registered');
  await until(() => opened.view.table.position.id === cautious.view.table.position.id);
  for (const view of [opened.view, cautious.view]) expect(idsOf(view)).toEqual([...names(9), 'later'].sort());
  await expectAsFresh(opened, cautious.view, redis.url);
});

test('a replica that starts on a Redis just flushed shows nothing before it has been filled', async () => {
  const { redis, ...opened } = await openOwn();
  const { registry, raw, store } = opened;
  await registerAll(registry, names(10));
  await registry.discover(ALL);
  await raw.flushall();
  const { view } = await openCautious(store, redis.url);
  expect(idsOf(view), 'the first that it shows').toEqual(names(10));
});

test('the changes that Redis has lost are told to it again, and to no watcher', async () => {
  const opened = await openRegistry();
  const { registry, view, raw, keys, prefix } = opened;
  await registerAll(registry, names(5));
  await registry.discover(ALL);
  const saved = await Promise.all((await raw.keys(`${prefix}*`)).map(async (key) => ({ key, dump: await raw.dumpBuffer(key) })));
  await registry.register(complete({ instanceId: 'later' }), CALLER);
  await registry.patch('i-0', { status: 'error' }, CALLER);
  await registry.remove('i-1', {}, CALLER);
  await registry.discover(ALL);
  const [watcher, seen, before] = [await watchFrames(registry), observe(view), await epochOf(opened)];

  const back = raw.multi().del(await raw.keys(`${prefix}*`));
  for (const { key, dump } of saved) back.restore(key, 0, dump);
  await back.exec(); // an old snapshot, or a failover to a replica that lagged
  await recovered(opened, watcher, before);
  const { records, events } = await readStore(raw, keys);
  expect([...records.keys()].sort()).toEqual(['i-0', 'i-2', 'i-3', 'i-4', 'later']);
  expect(records.get('i-0')).toMatchObject({ status: 'error' });
  expectChain(events);
  expect(events.slice(5).map(({ kind, instanceId }) => `${kind} ${instanceId}`).sort()).toEqual(['removed i-1', 'restored i-0', 'restored later']);
  expect(watcher.told().map(({ event }) => event)).toEqual(['snapshot']);
  expect(seen.fewest).toBe(5);
  await expectAsFresh(opened, view);
});

test('a replica that had read much less than another when Redis was emptied reads everything anew, and revives nobody', { timeout: 40_000 }, async () => {
  const opened = await openRegistry();
  const { registry, raw, prefix, keys } = opened;
  await registerAll(registry, names(6));
  const { gate, ...away } = await openGated(opened);
  const [watcher, steady, seen] = [await watchFrames(away.registry), await watchFrames(registry), observe(away.view)];
  const beats = setInterval(() => void registry.heartbeat(names(6).map((instanceId) => ({ instanceId }))).catch(() => undefined), 500);
  onTestFinished(() => clearInterval(beats));
  gate.cut();
  await registry.remove('i-2', {}, CALLER);
  await until(() => seen.staleMs > 3000);
  const before = await epochOf(opened);
  await raw.del(await raw.keys(`${prefix}*`));
  await recovered(opened, steady, before);
  gate.mend();
  const [reset, snapshot] = await watcher.sinceReset();
  expect(reset?.json()).toEqual({ reason: 'outdated' });
  expect(instancesIn(snapshot)).toEqual(['i-0', 'i-1', 'i-3', 'i-4', 'i-5']);
  await until(() => seen.fewest < 6); // it has looked since
  expect(seen).toMatchObject({ fewest: 5, refused: 0 });
  expect(steady.told().map(({ event }) => event)).toEqual(['snapshot', 'removed']);
  expect((await readStore(raw, keys)).records.has('i-2')).toBe(false);
  await expectAsFresh(opened, away.view, inject('redisUrl'));
});
