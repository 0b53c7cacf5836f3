import { expect, inject, onTestFinished, test } from 'vitest';
import { parseRedisUrl } from '../../src/redis/connect/url.js';
import { giveBack } from '../../src/redis/recovery/restore-on-demand.js';
import { RedisRegistrar } from '../../src/redis/redis-registrar.js';
import { serve } from '../../src/redis/serve.js';
import type { Beat } from '../../src/registry/registry.js';
import { SecondOpinion } from '../../src/registry/served/second-opinion.js';
import { openDelayGate } from '../guarantees/helpers/delay-gate.js';
import { buildGateway, caller, registration } from '../helpers/gateway.js';
import { CALLER, complete, readStore } from '../helpers/store.js';
import { secretOf, tokensOf } from '../helpers/tokens.js';
import { until } from '../helpers/until.js';
import { emptyView, openView } from '../helpers/view.js';
import { empty } from './helpers/loss.js';
import { expectSettled, openReplicas, type Replica } from './helpers/replica.js';

const names = (count: number, stem = 'i') => Array.from({ length: count }, (_, i) => `${stem}-${i}`);
const registerAll = ({ registry }: Pick<Replica, 'registry'>, ids: string[]) => Promise.all(ids.map((instanceId) => registry.register(complete({ instanceId }), CALLER)));
const caughtUp = (...replicas: Replica[]) => Promise.all(replicas.map(({ registry }) => registry.discover({ limit: 1 }, { strong: true })));
const statusOf = async (said: Promise<unknown>) => said.then(() => 200, ({ code }: { code: string }) => code);

async function openPair() {
  const opened = await openReplicas(2);
  const [a, b] = opened.replicas as [Replica, Replica];
  await registerAll(a, names(300));
  await caughtUp(a, b);
  return { ...opened, a, b };
}

test('a heartbeat, a patch and a removal right after Redis was emptied are done, and nobody has to register again', async () => {
  const { a, b, raw, keys } = await openPair();
  await empty(raw, keys);
  const beats = await a.registry.heartbeat(names(250).map((instanceId) => ({ instanceId, incarnation: 'life-1' })));
  expect(new Set(beats.map(({ status }) => status))).toEqual(new Set([200]));
  await empty(raw, keys);
  const [patched, removed, beaten] = await Promise.all([
    a.registry.patch('i-1', { status: 'error' }, CALLER),
    b.registry.remove('i-2', {}, CALLER),
    b.registry.heartbeat([{ instanceId: 'i-3', status: 'shutting_down' }]),
  ]);
  expect([patched.instance.status, typeof removed, beaten[0]?.status]).toEqual(['error', 'string', 200]);
  await expectSettled(raw, keys, [a, b]);
  const { records } = await readStore(raw, keys);
  expect([records.size, records.has('i-2'), records.get('i-1')?.status, records.get('i-3')?.status]).toEqual([299, false, 'error', 'shutting_down']);
  expect(new Set([...records.values()].map(({ incarnation }) => incarnation))).toEqual(new Set(['life-1']));
});

test('another incarnation\'s heartbeat is refused again once all have given back what they know, and until then told to wait', async () => {
  const { a, raw, keys } = await openPair();
  await empty(raw, keys);
  const said = new Set<number | undefined>();
  await until(async () => {
    const [result] = await a.registry.heartbeat([{ instanceId: 'i-0', incarnation: 'life-0' }]);
    said.add(result?.status);
    return result?.status === 409;
  });
  expect([...said].filter((status) => status !== 409 && status !== 503)).toEqual([]);
});

test('a heartbeat, a patch and a removal of one that has gone are 404 once this replica has read that it has', async () => {
  const { a, b } = await openPair();
  a.gate.halt();
  for (const id of ['i-0', 'i-1', 'i-2']) await b.registry.remove(id, {}, CALLER);
  const startedAt = performance.now();
  const said = Promise.all([
    a.registry.heartbeat([{ instanceId: 'i-0' }, { instanceId: 'i-3' }]).then((results) => results.map(({ status }) => status)),
    statusOf(a.registry.patch('i-1', { status: 'error' }, CALLER)),
    statusOf(a.registry.remove('i-2', {}, CALLER)),
  ]);
  setTimeout(() => (a.gate.cut(), a.gate.mend()), 100);
  expect(await said).toEqual([[404, 200], 'instance_not_found', 'instance_not_found']);
  expect(performance.now() - startedAt).toBeGreaterThan(90);
});

test('while the view cannot catch up they are told to try again after a second, and their neighbours are served', async () => {
  const { a, b } = await openPair();
  a.gate.halt();
  for (const id of ['i-0', 'i-1', 'i-2']) await b.registry.remove(id, {}, CALLER);
  const startedAt = performance.now();
  const said = await Promise.all([
    a.registry.heartbeat([{ instanceId: 'i-0' }, { instanceId: 'i-3' }, { instanceId: 'never' }]).then((results) => results.map(({ status }) => status)),
    statusOf(a.registry.patch('i-1', { status: 'error' }, CALLER)),
    statusOf(a.registry.remove('i-2', {}, CALLER)),
  ]);
  const ms = performance.now() - startedAt;
  expect(said).toEqual([[503, 200, 404], 'store_unavailable', 'store_unavailable']);
  expect(ms).toBeGreaterThan(900);
  expect(ms).toBeLessThan(2000);
});

test('who is in no view and in nothing pending is 404 at once, also while the view cannot catch up', async () => {
  const { a } = await openPair();
  a.gate.halt();
  const startedAt = performance.now();
  expect((await a.registry.heartbeat([{ instanceId: 'never' }])).map(({ status }) => status)).toEqual([404]);
  expect(performance.now() - startedAt).toBeLessThan(500);
});

test('what Redis refused is not done after all for one that was registered after it was sent, however soon the view reads of that', async () => {
  const { a } = await openPair();
  const registrar = new RedisRegistrar(a.store);
  const readMeanwhile = async () => {
    await registrar.register(complete({ instanceId: 'later' }), CALLER);
    await until(() => a.view.table.members.has('later'));
  };
  const raced = Object.assign(Object.create(registrar) as RedisRegistrar, {
    heartbeat: (beats: Beat[]) => registrar.heartbeat(beats).finally(readMeanwhile),
    remove: (...args: Parameters<RedisRegistrar['remove']>) => registrar.remove(...args).finally(readMeanwhile),
  });
  const opinion = new SecondOpinion(raced, a.view, { catchUp: () => Promise.resolve(), giveBack: (missed) => giveBack(a.store, a.view, missed) });
  expect(await opinion.heartbeat([{ instanceId: 'later' }])).toEqual([{ status: 404, code: 'instance_not_found' }]);
  await a.registry.remove('later', {}, CALLER);
  await until(() => !a.view.table.members.has('later'));
  expect(await statusOf(opinion.remove('later', {}, CALLER))).toBe('instance_not_found');
});

test('a heartbeat, right after a loss, of one that only another replica knows is not told to register again', async () => {
  const { a, b, raw, keys } = await openPair();
  b.gate.halt();
  await registerAll(a, ['fresh']);
  await empty(raw, keys);
  b.gate.cut();
  b.gate.mend();
  const said = new Set<number | undefined>();
  await until(async () => {
    const [result] = await b.registry.heartbeat([{ instanceId: 'fresh' }]);
    said.add(result?.status);
    return result?.status === 200;
  }, 8000);
  expect([...said].filter((status) => status !== 200 && status !== 503)).toEqual([]);
});

test('a removal, a patch and a heartbeat right after a loss, of one that only another replica knows, are told to try again: by a replica that starts, too', async () => {
  const { a, b, raw, keys } = await openPair();
  const starting = serve(a.store, emptyView());
  b.gate.halt();
  await registerAll(a, ['fresh']);
  a.gate.halt(); // so nothing is given back yet
  await empty(raw, keys);
  for (const registry of [starting, b.registry]) {
    const [beat] = await registry.heartbeat([{ instanceId: 'fresh', incarnation: 'life-1' }]);
    expect(beat?.status).toBe(503);
    expect(await statusOf(registry.patch('fresh', { status: 'error' }, CALLER))).toBe('store_unavailable');
    expect(await statusOf(registry.remove('fresh', {}, CALLER))).toBe('store_unavailable');
  }
  a.gate.cut();
  a.gate.mend();
  await until(async () => (await statusOf(a.registry.remove('fresh', {}, CALLER))) === 200, 8000);
});

test('a scoped token finds its instances after a loss, and those of others stay forbidden', async () => {
  const { app, raw, keys, view } = await buildGateway({ tokens: tokensOf({ name: 'all', verbs: ['read', 'write', 'admin'] }, { name: 'kr', verbs: ['read', 'write'], groups: ['kr-*'] }) });
  const [all, kr] = [caller(app.server, secretOf('all')), caller(app.server, secretOf('kr'))];
  const lose = async () => {
    await until(() => view.table.members.size >= 3 && view.staleMs === undefined);
    await empty(raw, keys);
  };
  for (const [instanceId, group] of [['mine', 'kr-1'], ['also', 'kr-2'], ['theirs', 'eu-1']]) await all.post('/instances').send(registration({ instanceId, group })).expect(201);
  await lose();
  await kr.post('/instances/mine/heartbeat').expect(200);
  await lose();
  await kr.post('/instances/theirs/heartbeat').expect(403);
  await lose();
  const { body } = await kr.post('/heartbeats').send(['mine', 'theirs', 'never', 'also'].map((instanceId) => ({ instanceId }))).expect(200);
  const [mine, theirs, never, also] = (body.results as { status: number }[]).map(({ status }) => status);
  expect([mine, theirs, also]).toEqual([200, 403, 200]);
  expect([404, 503]).toContain(never); // unknown, or not known yet
  await lose();
  await kr.patch('/instances/also').send({ status: 'error' }).expect(200);
  await lose();
  await kr.delete('/instances/theirs').expect(403);
  await kr.delete('/instances/mine').expect(204);
  await until(async () => (await kr.post('/instances/mine/heartbeat')).status === 404);
});

test('late heartbeats through another replica, its reader up to 200 ms behind, revive nobody', async () => {
  const { raw, keys, replicas: [a] } = await openReplicas(1);
  const gate = await openDelayGate(Number(new URL(inject('redisUrl')).port));
  onTestFinished(gate.close);
  const late = await openView((a as Replica).store, { target: parseRedisUrl(`redis://127.0.0.1:${gate.port}`) });
  gate.delay(({ role, to }) => (role === 'reader' && to === 'replica' ? Math.random() * 200 : 0));
  const other = serve((a as Replica).store, late.view);
  const said = new Map<number, number>();
  for (let round = 0; round < 10; round++) {
    const ids = names(40, `r${round}`);
    await registerAll(a as Replica, ids);
    await until(() => ids.every((id) => late.view.table.members.has(id)));
    await Promise.all(ids.map(async (id) => {
      await (a as Replica).registry.remove(id, {}, CALLER);
      for (const [result] of await Promise.all([other.heartbeat([{ instanceId: id }]), (a as Replica).registry.heartbeat([{ instanceId: id }])])) said.set(result?.status ?? 0, (said.get(result?.status ?? 0) ?? 0) + 1);
    }));
  }
  expect([...said.keys()].filter((status) => status !== 404 && status !== 503)).toEqual([]);
  expect(said.get(404)).toBeGreaterThan(600);
  const { records, events } = await readStore(raw, keys);
  expect(records.size).toBe(0);
  expect(events.filter(({ kind }) => kind === 'restored')).toEqual([]);
});
