import { expect, test } from 'vitest';
import { takePulse } from '../../src/redis/log/pulse.js';
import { restore } from '../../src/redis/recovery/restore.js';
import type { Found } from '../../src/registry/registry.js';
import { parseRevision } from '../../src/registry/revision.js';
import { CALLER, complete, readStore } from '../helpers/store.js';
import { until } from '../helpers/until.js';
import { watchFrames } from '../helpers/watch-frames.js';
import { empty, rollBack, takePicture } from './helpers/loss.js';
import { ALL, expectSettled, openReplica, openReplicas, type Replica } from './helpers/replica.js';

const names = (count: number, stem = 'i') => Array.from({ length: count }, (_, i) => `${stem}-${i}`);
const registerAll = ({ registry }: Replica, ids: string[]) => Promise.all(ids.map((instanceId) => registry.register(complete({ instanceId }), CALLER)));
const caughtUp = (...replicas: Replica[]) => Promise.all(replicas.map(({ registry }) => registry.discover({ limit: 1 }, { strong: true })));
function letIn({ gate }: Replica) {
  gate.cut();
  gate.mend();
}

async function openWatched() {
  const opened = await openReplicas(2);
  const [a, b] = opened.replicas as [Replica, Replica];
  await registerAll(a, names(10));
  await caughtUp(a, b);
  const watches = [await watchFrames(a.registry), await watchFrames(b.registry)] as const;
  for (const { kinds } of watches) expect(kinds()).toEqual(['snapshot']);
  const bookmarked = () => until(() => watches.every(({ kinds }) => kinds().includes('bookmark')));
  return { ...opened, a, b, watches, bookmarked };
}

test('watchers of an emptied Redis are given a position of the new epoch and nothing else', async () => {
  const { a, b, raw, keys, watches, bookmarked } = await openWatched();
  const before = watches[0].lastEventId();
  await empty(raw, keys);
  await expectSettled(raw, keys, [a, b]);
  await bookmarked();
  const { epoch } = a.view.table.position;
  for (const { kinds, lastEventId } of watches) {
    expect(kinds()).toEqual(['snapshot', 'bookmark']);
    expect(parseRevision(lastEventId())?.epoch).toBe(epoch);
  }
  expect(parseRevision(before)?.epoch).not.toBe(epoch);
  await a.registry.patch('i-3', { status: 'error' }, CALLER);
  for (const { kinds } of watches) await until(() => kinds().includes('updated'));
  for (const { kinds } of watches) expect(kinds()).toEqual(['snapshot', 'bookmark', 'updated']);
});

test('watchers are told exactly once of what changed and nobody had read', async () => {
  const { a, b, raw, keys, watches, bookmarked } = await openWatched();
  for (const { gate } of [a, b]) gate.halt();
  await a.registry.patch('i-3', { status: 'error' }, CALLER);
  await a.registry.register(complete({ instanceId: 'new' }), CALLER);
  await empty(raw, keys);
  for (const replica of [a, b]) letIn(replica);
  await expectSettled(raw, keys, [a, b]);
  await bookmarked();
  for (const { kinds, about } of watches) {
    expect(about('restored').sort()).toEqual(['i-3', 'new']);
    expect(kinds().filter((kind) => kind !== 'bookmark')).toEqual(['snapshot', 'restored', 'restored']);
  }
});

test('of a lost tail only those watchers are told that had not been told of it', async () => {
  const { a, b, raw, keys, watches: [ofA, ofB] } = await openWatched();
  const picture = await takePicture(raw, keys);
  b.gate.halt();
  await a.registry.patch('i-3', { status: 'error' }, CALLER);
  await a.registry.remove('i-4', {}, CALLER);
  await caughtUp(a);
  expect(ofA.kinds()).toEqual(['snapshot', 'updated', 'removed']);
  await rollBack(raw, keys, picture);
  letIn(b);
  await expectSettled(raw, keys, [a, b]);
  await until(() => [ofA, ofB].every(({ kinds }) => kinds().includes('bookmark')));
  expect(ofA.kinds().filter((kind) => kind !== 'bookmark')).toEqual(['snapshot', 'updated', 'removed']);
  expect(ofB.about('removed')).toEqual(['i-4']);
  expect(ofB.about('restored')).toEqual(['i-3']);
  expect(ofB.kinds().filter((kind) => kind !== 'bookmark').sort()).toEqual(['removed', 'restored', 'snapshot']);
});

test('an earlier word of another replica is not shown by one that knows better, not even for a moment', async () => {
  const { a, b, store, raw, keys, watches: [ofA] } = await openWatched();
  await b.close();
  await a.registry.patch('i-3', { status: 'error' }, CALLER);
  await caughtUp(a);
  const earlier = { ...(a.view.find('i-3') as Found).instance, status: 'ready' as const };
  a.gate.halt();
  await empty(raw, keys);
  const { epoch } = await takePulse(store.connection, store.scripts);
  await restore(store, { epoch, id: '' }, [{ instanceId: 'i-3', of: '1-0', mode: 'missing', instance: () => earlier }]);
  letIn(a);
  await expectSettled(raw, keys, [a]);
  await until(() => ofA.kinds().includes('bookmark'));
  expect(ofA.kinds()).toEqual(['snapshot', 'updated', 'bookmark']);
  expect((await readStore(raw, keys)).records.get('i-3')).toMatchObject({ status: 'error' });
});

test('a position of the new epoch is good on the other replica; one of the old gets a reset and everything', async () => {
  const { a, b, raw, keys, watches, bookmarked } = await openWatched();
  const old = watches[0].lastEventId();
  await empty(raw, keys);
  await expectSettled(raw, keys, [a, b]);
  await bookmarked();
  const position = watches[0].lastEventId();
  await a.registry.patch('i-3', { status: 'error' }, CALLER);
  await caughtUp(a, b);
  const resumed = await watchFrames(b.registry, position);
  await until(() => resumed.kinds().includes('updated'));
  expect(resumed.kinds().filter((kind) => kind !== 'restored')).toEqual(['updated']);
  const late = await watchFrames(b.registry, old);
  await until(() => late.frames.length > 1);
  expect(late.kinds()).toEqual(['reset', 'snapshot']);
  expect(late.frames[1]?.json<{ instances: unknown[] }>().instances).toHaveLength(10);
});

test('long polls and tags do not notice that Redis was emptied', async () => {
  const { a, b, raw, keys } = await openWatched();
  const { etag } = a.view.answer(ALL);
  const seen = new Set<string>();
  let fewest = Infinity;
  const timer = setInterval(() => {
    for (const { view } of [a, b]) {
      seen.add(view.answer(ALL).etag);
      fewest = Math.min(fewest, view.answer(ALL).read().instances.length);
    }
  }, 2);
  await empty(raw, keys);
  await expectSettled(raw, keys, [a, b]);
  clearInterval(timer);
  expect([...seen]).toEqual([etag]);
  expect(fewest).toBe(10);
});

test('a replica that starts on an emptied Redis answers nothing before it has everything', async () => {
  const opened = await openReplicas(1);
  const { raw, keys } = opened;
  const [a] = opened.replicas as [Replica];
  await registerAll(a, names(500));
  await caughtUp(a);
  a.gate.cut();
  await empty(raw, keys);
  const starting = await openReplica(opened, { ownStore: false });
  await until(() => starting.reader.last.fresh);
  const timer = setTimeout(() => a.gate.mend(), 1500);
  await until(() => starting.view.loaded, 15_000, 1);
  clearTimeout(timer);
  expect(starting.view.table.members.size).toBe(500);
  await expectSettled(raw, keys, [a, starting]);
});

test('a replica that starts on a Redis emptied a moment ago is not ready before the epoch is three seconds old', async () => {
  const opened = await openReplicas(0);
  const { raw, keys } = opened;
  const starting = await openReplica(opened, { ownStore: false });
  await until(() => starting.view.loaded, 10_000, 1);
  const at = Number(await raw.hget(keys.epoch, 'at'));
  expect(starting.view.table.watermarkMs).toBeGreaterThanOrEqual(at + 3000);
});
