import { expect, test } from 'vitest';
import { CALLER, complete, readStore } from '../helpers/store.js';
import { eventsIn } from '../helpers/events.js';
import { until } from '../helpers/until.js';
import { empty, rollBack, takePicture } from './helpers/loss.js';
import { expectSettled, openReplica, openReplicas, shownBy, type Replica } from './helpers/replica.js';

const names = (count: number, stem = 'i') => Array.from({ length: count }, (_, i) => `${stem}-${i}`);
const registerAll = ({ registry }: Replica, ids: string[], fields = {}) =>
  Promise.all(ids.map((instanceId) => registry.register(complete({ instanceId, ...fields }), CALLER)));
const caughtUp = (...replicas: Replica[]) => Promise.all(replicas.map(({ registry }) => registry.discover({ limit: 1 }, { strong: true })));
function letIn({ gate }: Replica) {
  gate.cut();
  gate.mend();
}

/** Ten instances that both have read, and a picture of Redis at that moment. */
async function openPair() {
  const opened = await openReplicas(2);
  const [a, b] = opened.replicas as [Replica, Replica];
  await registerAll(a, names(10));
  await caughtUp(a, b);
  return { ...opened, a, b, picture: await takePicture(opened.raw, opened.keys) };
}

/** A change of every kind. */
async function changeAll({ registry }: Replica) {
  await registry.patch('i-0', { status: 'error', labels: { zone: 'b' } }, CALLER);
  await registry.remove('i-1', {}, CALLER);
  await registry.register(complete({ instanceId: 'i-2', incarnation: 'life-2' }), CALLER);
  await registry.register(complete({ instanceId: 'i-3', group: 'eu-1' }), CALLER);
  await registry.register(complete({ instanceId: 'new' }), CALLER);
  await registry.remove('i-4', {}, CALLER);
  await registry.register(complete({ instanceId: 'i-4', incarnation: 'life-2' }), CALLER);
  await registry.register(complete({ instanceId: 'short' }), CALLER);
  await registry.remove('short', {}, CALLER);
}

async function expectAllChanged({ raw, keys }: Pick<Awaited<ReturnType<typeof openPair>>, 'raw' | 'keys'>) {
  const { records } = await readStore(raw, keys);
  expect([...records.keys()].sort()).toEqual([...names(10).filter((id) => id !== 'i-1'), 'new'].sort());
  expect(records.get('i-0')).toMatchObject({ status: 'error', labels: '{"zone":"b"}' });
  expect(records.get('i-2')).toMatchObject({ incarnation: 'life-2' });
  expect(records.get('i-3')).toMatchObject({ group: 'eu-1' });
  expect(records.get('i-4')).toMatchObject({ incarnation: 'life-2' });
}

test.each([
  ['both had read', false],
  ['only one had read', true],
])('a lost tail that %s is replayed: changes, removals, re-registrations and moves', async (_, oneBehind) => {
  const opened = await openPair();
  const { a, b, raw, keys, picture } = opened;
  if (oneBehind) b.gate.halt();
  await changeAll(a);
  await caughtUp(a);
  await rollBack(raw, keys, picture);
  if (oneBehind) letIn(b);
  await expectSettled(raw, keys, [a, b]);
  await expectAllChanged(opened);
});

test('a lost tail of which each replica acknowledged a part is replayed', async () => {
  const opened = await openPair();
  const { a, b, raw, keys, picture } = opened;
  for (const { gate } of [a, b]) gate.halt();
  await a.registry.patch('i-0', { status: 'error' }, CALLER);
  await b.registry.remove('i-1', {}, CALLER);
  await b.registry.register(complete({ instanceId: 'new' }), CALLER);
  await a.registry.register(complete({ instanceId: 'i-2', incarnation: 'life-2' }), CALLER);
  await rollBack(raw, keys, picture);
  // What one of them writes after the loss breaks the chain of nobody either: it goes on where they stand.
  await b.registry.register(complete({ instanceId: 'after' }), CALLER);
  for (const replica of [a, b]) letIn(replica);
  await expectSettled(raw, keys, [a, b]);
  const { records } = await readStore(raw, keys);
  expect(records.get('i-0')).toMatchObject({ status: 'error' });
  expect(records.get('i-2')).toMatchObject({ incarnation: 'life-2' });
  expect([...records.keys()].sort()).toEqual([...names(10).filter((id) => id !== 'i-1'), 'new', 'after'].sort());
});

test('what Redis was told after the loss stands: nobody speaks against it', async () => {
  const { a, b, raw, keys, picture } = await openPair();
  await changeAll(a);
  await caughtUp(a, b);
  for (const { gate } of [a, b]) gate.halt();
  await rollBack(raw, keys, picture);
  const other = await openReplica({ raw, keys, prefix: keys.prefix, store: a.store, redisUrl: `redis://127.0.0.1:${raw.options.port}` });
  await other.registry.register(complete({ instanceId: 'i-0', incarnation: 'life-3' }), CALLER);
  await other.registry.remove('i-2', {}, CALLER);
  await other.close();
  for (const replica of [a, b]) letIn(replica);
  await expectSettled(raw, keys, [a, b]);
  const { records } = await readStore(raw, keys);
  expect(records.get('i-0')).toMatchObject({ incarnation: 'life-3', status: 'ready' });
  expect(records.has('i-2')).toBe(false);
  expect(records.get('i-4')).toMatchObject({ incarnation: 'life-2' });
});

test('a removal just before Redis is emptied is not undone by a replica that had not read it', async () => {
  const { a, b, raw, keys } = await openPair();
  b.gate.halt();
  await a.registry.remove('i-1', {}, CALLER);
  await caughtUp(a);
  await empty(raw, keys);
  letIn(b);
  await expectSettled(raw, keys, [a, b]);
  expect([...(await readStore(raw, keys)).records.keys()].sort()).toEqual(names(10).filter((id) => id !== 'i-1').sort());
  expect(shownBy(b.view)).not.toContain('i-1');
});

test('a client that registered again on the emptied Redis, whose clock is behind, is not overwritten', async () => {
  const { replicas, raw, keys } = await openReplicas(2);
  const [a, b] = replicas as [Replica, Replica];
  await registerAll(a, ['first']);
  await raw.hset(keys.epoch, 'head', `${Date.now() + 60_000}-1`); // as a clock that was a minute ahead leaves it
  await registerAll(a, names(3));
  await until(() => [a, b].every(({ view }) => view.table.members.size === 4));
  await empty(raw, keys);
  await a.registry.register(complete({ instanceId: 'i-1', incarnation: 'life-2' }), CALLER);
  await expectSettled(raw, keys, [a, b]);
  expect((await readStore(raw, keys)).records.get('i-1')).toMatchObject({ incarnation: 'life-2' });
  expect((await readStore(raw, keys)).records.size).toBe(4);
});

test('a replica that was cut off longer than the others keeps silent and reads what they say', async () => {
  const { a, b, raw, keys } = await openPair();
  b.gate.cut();
  const from = a.view.table.watermarkMs;
  await until(() => a.view.table.watermarkMs > from + 1500);
  await a.registry.remove('i-1', {}, CALLER);
  await a.registry.patch('i-0', { status: 'error' }, CALLER);
  await until(() => a.view.table.watermarkMs > from + 3200);
  await empty(raw, keys);
  b.gate.mend();
  await until(() => b.seen.loads.includes('outdated'));
  await expectSettled(raw, keys, [a, b]);
  const { records } = await readStore(raw, keys);
  expect(records.has('i-1')).toBe(false);
  expect(records.get('i-0')).toMatchObject({ status: 'error' });
  const events = await eventsIn(raw, keys.events);
  expect(events.filter(({ instanceId }) => instanceId === 'i-1').map(({ kind }) => kind)).not.toContain('restored');
  expect(a.seen.loads).toEqual(['start']);
});

test('a replica that only fell behind the end of the log restores nothing', async () => {
  const { a, b, raw, keys } = await openPair();
  const epoch = await raw.hget(keys.epoch, 'id');
  b.gate.cut();
  await registerAll(a, ['gone', 'stays']);
  await a.registry.remove('i-1', {}, CALLER);
  await caughtUp(a);
  const head = await raw.hget(keys.epoch, 'head');
  await raw.xtrim(keys.events, 'MINID', head as string);
  b.gate.mend();
  await until(() => b.seen.loads.includes('lag'));
  await expectSettled(raw, keys, [a, b]);
  expect(await raw.hget(keys.epoch, 'id')).toBe(epoch);
  expect((await readStore(raw, keys)).records.has('i-1')).toBe(false);
  expect((await eventsIn(raw, keys.events)).map(({ kind }) => kind)).not.toContain('restored');
});

test('emptied twice in a row, and once more while it is being filled: everything is there', async () => {
  const { a, b, raw, keys } = await openPair();
  await changeAll(a);
  await caughtUp(a, b);
  await empty(raw, keys);
  const first = await until(() => raw.hget(keys.epoch, 'id'));
  await empty(raw, keys);
  await until(async () => ((await raw.hget(keys.epoch, 'id')) ?? first) !== first);
  await until(() => raw.hexists(keys.record('i-5'), 'type'), 10_000, 1);
  await empty(raw, keys);
  await expectSettled(raw, keys, [a, b], 15_000);
  await expectAllChanged({ raw, keys });
});

test('put back to the same old state twice in a row, the lost tail is replayed all the same', async () => {
  const opened = await openPair();
  const { a, b, raw, keys, picture } = opened;
  await changeAll(a);
  await caughtUp(a, b);
  await rollBack(raw, keys, picture);
  await until(async () => (await raw.hget(keys.epoch, 'freshest')) !== null);
  await rollBack(raw, keys, picture);
  await expectSettled(raw, keys, [a, b], 15_000);
  await expectAllChanged(opened);
});

test('emptied, and then put back to a state of the epoch before: both end in one state with all that was acknowledged', async () => {
  const opened = await openPair();
  const { a, b, raw, keys, picture } = opened;
  await changeAll(a);
  await caughtUp(a, b);
  await empty(raw, keys);
  await until(() => a.seen.recoveries + b.seen.recoveries === 2);
  await rollBack(raw, keys, picture);
  await expectSettled(raw, keys, [a, b], 15_000);
  await expectAllChanged(opened);
});
