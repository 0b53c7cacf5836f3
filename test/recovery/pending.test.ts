import { expect, test } from 'vitest';
import { CALLER, complete, readStore } from '../helpers/store.js';
import { until } from '../helpers/until.js';
import { empty, rollBack, takePicture } from './helpers/loss.js';
import { expectSettled, openBare, openReplica, openReplicas, type Replica } from './helpers/replica.js';

const names = (count: number, stem = 'i') => Array.from({ length: count }, (_, i) => `${stem}-${i}`);
const registerAll = ({ registry }: Replica, ids: string[], fields = {}) =>
  Promise.all(ids.map((instanceId) => registry.register(complete({ instanceId, ...fields }), CALLER)));
const knows = ({ view }: Replica, count: number) => until(() => view.table.members.size === count);
/** The reader is let in again: what it asked meanwhile was lost. */
function letIn({ gate }: Replica) {
  gate.cut();
  gate.mend();
}

test('100 acknowledged registrations that no reader ever saw survive an emptied Redis', async () => {
  const { replicas, raw, keys } = await openReplicas(2);
  const [a, b] = replicas as [Replica, Replica];
  for (const { gate } of [a, b]) gate.halt();
  await registerAll(a, names(100, 'a'));
  await registerAll(b, names(100, 'b'));
  expect([a.view.table.members.size, b.view.table.members.size, a.view.pending.size]).toEqual([0, 0, 100]);
  await empty(raw, keys);
  for (const replica of [a, b]) letIn(replica);
  await expectSettled(raw, keys, [a, b]);
  const { records } = await readStore(raw, keys);
  expect([...records.keys()].sort()).toEqual([...names(100, 'a'), ...names(100, 'b')].sort());
  expect(new Set([...records.values()].map(({ incarnation }) => incarnation))).toEqual(new Set(['life-1']));
  expect([a.view.pending.size, b.view.pending.size]).toEqual([0, 0]);
});

/** One replica of three instances, and a Redis that has lost exactly those registrations that it acknowledged and had not read. */
async function loseUnread(lost: string[]) {
  const { replicas, raw, keys } = await openReplicas(1);
  const [a] = replicas as [Replica];
  await registerAll(a, names(3));
  await knows(a, 3);
  const picture = await takePicture(raw, keys);
  a.gate.halt();
  await registerAll(a, lost);
  await rollBack(raw, keys, picture);
  letIn(a);
  return { a, replicas, raw, keys };
}

test('acknowledged registrations that no reader saw survive a loss that breaks nobody\'s chain', async () => {
  const { replicas, raw, keys } = await loseUnread(names(10, 'lost'));
  await until(async () => (await readStore(raw, keys)).records.size === 13, 5000);
  await expectSettled(raw, keys, replicas);
});

test('a heartbeat of an acknowledged registration that was lost before anybody read it is not told to register again', async () => {
  const { a } = await loseUnread(['lost']);
  await until(() => a.view.staleMs === undefined && a.reader.last.fresh);
  const answers = new Set<number>();
  await until(async () => {
    const [result] = await a.registry.heartbeat([{ instanceId: 'lost' }]);
    answers.add(result?.status ?? 0);
    return result?.status === 200 || result?.status === 404;
  });
  expect([...answers]).not.toContain(404);
});

test('what was acknowledged of an instance that others have as it was before wins: a patch, another incarnation, a removal', async () => {
  const { replicas, raw, keys } = await openReplicas(2);
  const [a] = replicas as [Replica, Replica];
  await registerAll(a, names(60));
  for (const replica of replicas) await knows(replica, 60);
  for (const { gate } of replicas) gate.halt();
  await a.registry.patch('i-0', { status: 'error' }, CALLER);
  await a.registry.register(complete({ instanceId: 'i-1', incarnation: 'life-2', customState: 'restarted' }), CALLER);
  await a.registry.remove('i-2', {}, CALLER);
  await a.registry.heartbeat([{ instanceId: 'i-3', labels: { zone: 'b' }, status: 'shutting_down' }]);
  await a.registry.patch('i-4', { customState: 'loading' }, CALLER);
  await a.registry.heartbeat([{ instanceId: 'i-4', customState: null }]);
  await empty(raw, keys);
  for (const replica of replicas) letIn(replica);
  await expectSettled(raw, keys, replicas);
  const { records } = await readStore(raw, keys);
  expect(records.get('i-0')).toMatchObject({ status: 'error' });
  expect(records.get('i-1')).toMatchObject({ incarnation: 'life-2', customState: 'restarted' });
  expect(records.has('i-2')).toBe(false);
  expect(records.get('i-3')).toMatchObject({ status: 'shutting_down', labels: '{"zone":"b"}' });
  expect(records.get('i-4')).not.toHaveProperty('customState');
  expect(records.size).toBe(59);
});

test('several writes on one instance that nobody read are all in what comes back', async () => {
  const { replicas, raw, keys } = await openReplicas(1);
  const [a] = replicas as [Replica];
  a.gate.halt();
  await registerAll(a, ['x'], { labels: { a: '1', b: '2' } });
  await a.registry.heartbeat([{ instanceId: 'x', labels: { a: null, c: '3' } }]);
  await a.registry.heartbeat([{ instanceId: 'x', status: 'error' }]);
  await registerAll(a, ['y']);
  await a.registry.remove('y', {}, CALLER);
  await registerAll(a, ['y'], { incarnation: 'life-2' });
  await empty(raw, keys);
  letIn(a);
  await expectSettled(raw, keys, replicas);
  const { records } = await readStore(raw, keys);
  expect(records.get('x')).toMatchObject({ status: 'error', labels: '{"b":"2","c":"3"}' });
  expect(records.get('y')).toMatchObject({ incarnation: 'life-2' });
});

test('an operator\'s cordon outlives a re-registration that was lost unread', async () => {
  const { replicas, raw, keys } = await openReplicas(1);
  const [a] = replicas as [Replica];
  await registerAll(a, ['x']);
  await a.registry.patch('x', { cordoned: true }, CALLER);
  await until(() => a.view.find('x')?.instance.cordoned);
  a.gate.halt();
  await registerAll(a, ['x'], { incarnation: 'life-2' });
  await empty(raw, keys);
  letIn(a);
  await expectSettled(raw, keys, replicas);
  const { records, events } = await readStore(raw, keys);
  expect(records.get('x')).toMatchObject({ incarnation: 'life-2', cordoned: '1' });
  expect(events.map(({ kind, incarnation }) => `${kind} ${incarnation}`)).toEqual(['restored life-2']); // not first as it was before
});

test('a registration that was read is no longer pending, and one that came to nothing never was', async () => {
  const { replicas } = await openReplicas(1);
  const [a] = replicas as [Replica];
  await registerAll(a, names(50));
  await a.registry.remove('i-0', {}, CALLER);
  await expect(a.registry.remove('nobody', {}, CALLER)).rejects.toMatchObject({ code: 'instance_not_found' });
  await registerAll(a, ['i-1']); // repeated: it only renews
  await until(() => a.view.pending.size === 0);
});

test('a registration that was acknowledged before the registry had been read survives an emptied Redis', async () => {
  const bare = await openBare();
  const starting = await openReplica(bare, { ownStore: false }); // it waits until the epoch is settled
  await registerAll(starting, ['early']);
  expect(starting.view.loaded).toBe(false);
  await empty(bare.raw, bare.keys);
  await until(async () => (await readStore(bare.raw, bare.keys)).records.has('early'), 10_000);
  await expectSettled(bare.raw, bare.keys, [starting]);
});
