import type { Redis } from 'ioredis';
import { expect, onTestFinished, test, vi } from 'vitest';
import { openGate } from '../helpers/redis-gate.js';
import { startRedis } from '../helpers/redis.js';
import { buildGateway, openRegistry, registration } from '../helpers/gateway.js';
import { CALLER, complete, expectAgreement, lapse, readStore } from '../helpers/store.js';
import { until } from '../helpers/until.js';

async function alone(args: string[] = []) {
  const redis = await startRedis(args);
  onTestFinished(() => redis.stop());
  return openRegistry({ redisUrl: redis.url });
}

/** Without the reader, which pulses by itself: Redis hears only of the writes. */
async function withoutReader() {
  const opened = await alone();
  await opened.reader.stop();
  return opened;
}

/** Its way to Redis is a gate. */
async function behindGate() {
  const redis = await startRedis();
  onTestFinished(() => redis.stop());
  const gate = await openGate(redis.port);
  onTestFinished(gate.close);
  return { gate, ...(await openRegistry({ redisUrl: `redis://127.0.0.1:${gate.port}` })) };
}

/** How often Redis ran a command since the last reset, and how often it refused it. */
async function counted(raw: Redis, command: string): Promise<{ calls: number; failed: number }> {
  const line = (await raw.info('commandstats')).split('\r\n').find((text) => text.startsWith(`cmdstat_${command}:`)) ?? '';
  const number = (name: string) => Number(new RegExp(`\\b${name}=(\\d+)`).exec(line)?.[1] ?? 0);
  return { calls: number('calls'), failed: number('failed_calls') };
}

const ids = (count: number, stem = 'id') => Array.from({ length: count }, (_, i) => `${stem}-${i}`);

test('what one caller sends without waiting is applied in the order it was sent', async () => {
  const { registry, raw, keys } = await openRegistry();
  const beat = (customState: string) => registry.heartbeat([{ instanceId: 'a', customState }]);
  await Promise.all([
    registry.register(complete(), CALLER),
    beat('1'),
    registry.patch('a', { customState: '2' }, CALLER),
    beat('3'),
    registry.register(complete({ incarnation: 'life-2', customState: '4' }), CALLER),
    beat('5'),
    registry.remove('a', { incarnation: 'life-2' }, CALLER),
    beat('never').then((results) => expect(results).toEqual([{ status: 404, code: 'instance_not_found' }])),
    registry.register(complete({ incarnation: 'life-3' }), CALLER),
  ]);
  const { events } = await readStore(raw, keys);
  expect(events.map(({ kind, customState = '' }) => `${kind} ${customState}`.trim())).toEqual([
    'registered', 'updated 1', 'updated 2', 'updated 3', 'registered 4', 'updated 5', 'removed 5', 'registered',
  ]);
});

test('a turn is one transaction, with one call for its registrations and one for its heartbeats', async () => {
  const { registry, raw } = await withoutReader();
  await Promise.all([registry.register(complete(), CALLER), registry.heartbeat([{ instanceId: 'a' }]), registry.patch('a', { status: 'error' }, CALLER)]);
  await raw.config('RESETSTAT');
  await Promise.all([
    ...ids(8).map((instanceId) => registry.register(complete({ instanceId }), CALLER)),
    ...ids(12).map(() => registry.heartbeat([{ instanceId: 'a' }])),
    ...ids(4).map((_, i) => registry.patch('a', { customState: String(i) }, CALLER)),
  ]);
  expect(await counted(raw, 'exec')).toEqual({ calls: 1, failed: 0 });
  expect(await counted(raw, 'evalsha')).toEqual({ calls: 1 + 1 + 4, failed: 0 });
});

test('a Set of the wrong type is written anew by a registration, a departure or reconcile, and nobody is lost', async () => {
  const { registry, maintenance, raw, keys } = await alone();
  const spoil = () => raw.multi().del(keys.members('game:kr-1')).set(keys.members('game:kr-1'), 'not a Set').exec();
  const members = async () => (await raw.smembers(keys.members('game:kr-1'))).sort();
  for (const instanceId of ['a', 'b', 'c', 'd']) await registry.register(complete({ instanceId }), CALLER);

  await spoil();
  expect(await registry.register(complete({ instanceId: 'e' }), CALLER)).toMatchObject({ outcome: 'created' });
  await spoil();
  await registry.remove('a', {}, CALLER);
  expect(await registry.heartbeat([{ instanceId: 'a' }])).toMatchObject([{ status: 404 }]);
  await spoil();
  await lapse(raw, keys, ['b']);
  expect((await maintenance.sweep()).evicted).toEqual(['game:kr-1:b']);
  await maintenance.reconcile(new AbortController().signal);
  expect(await members()).toEqual(['c', 'd', 'e']);
  const { events } = await readStore(raw, keys);
  expect(events.map(({ kind }) => kind)).toEqual([...Array<string>(5).fill('registered'), 'removed', 'expired']);
});

test('a turn with very many ids is cut into calls of at most 250, and every id is answered for itself', async () => {
  const { registry, raw } = await withoutReader();
  await Promise.all(ids(600).map((instanceId) => registry.register(complete({ instanceId }), CALLER)));
  await registry.heartbeat([{ instanceId: 'id-0' }]);
  await raw.config('RESETSTAT');
  const results = await registry.heartbeat(ids(1200).map((instanceId) => ({ instanceId })));
  expect(results.map(({ status }) => status)).toEqual(ids(1200).map((_, i) => (i < 600 ? 200 : 404)));
  expect(await counted(raw, 'evalsha')).toEqual({ calls: 5, failed: 0 });
  expect((await counted(raw, 'exec')).calls).toBeLessThanOrEqual(5);
});

test('order is kept in a turn that is too long for one transaction, and after SCRIPT FLUSH', async () => {
  const { registry, raw, keys } = await alone();
  const inOrder = (stem: string) =>
    Promise.all(ids(100, stem).flatMap((instanceId) => [
      registry.register(complete({ instanceId }), CALLER).then(({ outcome }) => outcome),
      registry.heartbeat([{ instanceId, customState: 'x' }]).then(([result]) => result?.status),
      registry.remove(instanceId, {}, CALLER).then(() => 'removed'),
    ]));
  const right = ids(100).flatMap(() => ['created', 200, 'removed']);
  expect(await inOrder('first')).toEqual(right);
  await raw.script('FLUSH');
  expect(await inOrder('second')).toEqual(right);
  const state = await readStore(raw, keys);
  expectAgreement(state);
  expect(state.records.size).toBe(0);
});

test('when Redis has lost some scripts only their entries are sent again, and everybody is answered', async () => {
  const { registry, raw, store } = await withoutReader();
  await registry.register(complete(), CALLER);
  await raw.script('FLUSH');
  await raw.eval(...store.scripts.command('heartbeat', [], 'source'));
  await raw.config('RESETSTAT');

  const [registered, [beaten], patched, repeated] = await Promise.all([
    registry.register(complete({ instanceId: 'b' }), CALLER),
    registry.heartbeat([{ instanceId: 'a' }]),
    registry.patch('a', { status: 'error' }, CALLER),
    registry.register(complete(), CALLER),
  ]);
  expect([registered.outcome, beaten?.status, patched.instance.status, repeated.outcome]).toEqual(['created', 200, 'error', 'repeated']);
  expect(await counted(raw, 'exec')).toMatchObject({ calls: 2 });
  expect(await counted(raw, 'evalsha')).toEqual({ calls: 4 + 3, failed: 3 });
  expect(await counted(raw, 'script|load')).toEqual({ calls: 4, failed: 0 }); // all verbs at once: see the order below
});

test('a Redis that holds only some scripts does not change the order of a caller', async () => {
  const { registry, raw, store } = await alone();
  await registry.register(complete(), CALLER);
  await raw.script('FLUSH');
  await registry.remove('a', {}, CALLER); // loads all verbs, not only its own
  expect(await raw.script('EXISTS', ...(['register', 'heartbeat', 'patch', 'remove'] as const).map((verb) => store.scripts.command(verb, [], 'sha')[0]))).toEqual([1, 1, 1, 1]);
});

test('a call that comes while one is sent again goes out behind all that are to be', async () => {
  const { registry, raw, keys, store, reader, gate } = await behindGate();
  await reader.stop();
  await registry.register(complete(), CALLER);
  await raw.script('FLUSH');
  gate.slow(200); // so that the second is on the wire when the first comes back
  const sent = vi.spyOn(store.connection, 'multi');
  const beat = (customState: string) => registry.heartbeat([{ instanceId: 'a', customState }]).then(([result]) => result?.status);
  const first = beat('1');
  await until(() => sent.mock.calls.length === 1);
  await new Promise((passed) => setTimeout(passed, 60));
  const second = beat('2');
  await until(() => sent.mock.calls.length === 3); // the first is under way again
  expect(await Promise.all([first, second, beat('3')])).toEqual([200, 200, 200]);
  const { events } = await readStore(raw, keys);
  expect(events.map(({ customState = '' }) => customState)).toEqual(['', '1', '2', '3']);
});

test('after SCRIPT FLUSH a whole turn is sent again in its order', async () => {
  const { registry, raw, keys } = await alone();
  await registry.register(complete(), CALLER);
  await raw.script('FLUSH');
  const answers = await Promise.all([
    registry.remove('a', {}, CALLER).then(() => 'removed'),
    registry.register(complete({ incarnation: 'life-2' }), CALLER).then(({ outcome }) => outcome),
    registry.heartbeat([{ instanceId: 'a', incarnation: 'life-2' }]).then(([result]) => result?.status),
  ]);
  expect(answers).toEqual(['removed', 'created', 200]);
  expectAgreement(await readStore(raw, keys));
});

test('a record of the wrong type is written anew by its own heartbeat, and nobody else notices', async () => {
  const { call, raw, keys } = await buildGateway();
  for (const instanceId of ['a', 'bad', 'z']) await call.post('/instances').send(registration({ instanceId })).expect(201);
  await raw.multi().del(keys.record('bad')).set(keys.record('bad'), 'spoilt').exec();
  const { body } = await call.post('/heartbeats').send(['a', 'bad', 'z'].map((instanceId) => ({ instanceId, performance: { tps: 60 } }))).expect(200);
  expect(body.results).toEqual([
    { instanceId: 'a', status: 200 }, { instanceId: 'bad', status: 200 }, { instanceId: 'z', status: 200 },
  ]);
  await call.post('/instances/bad/heartbeat').send({ status: 'error' }).expect(200);
  expect(await raw.hgetall(keys.record('bad'))).toMatchObject({ hostname: 'game-1.example.com', status: 'error', performance: '{"tps":60}' });
});

test('a face of the wrong type is written anew by the next heartbeat', async () => {
  const { call, raw, keys } = await buildGateway();
  await call.post('/instances').send(registration({ instanceId: 'bad' })).expect(201);
  await raw.multi().del(keys.face('bad')).set(keys.face('bad'), 'spoilt').exec();
  await call.post('/instances/bad/heartbeat').send({ performance: { tps: 60 } }).expect(200);
  expect(await raw.hgetall(keys.face('bad'))).toEqual(await raw.hgetall(keys.record('bad')));
  expect(await raw.pttl(keys.face('bad'))).toBeGreaterThan(25_000);
});

test('a full Redis refuses registrations, and heartbeats, removals and the sweep go on, even in the same turn', async () => {
  const { registry, maintenance, raw, keys } = await alone();
  for (const instanceId of ['a', 'b', 'c', 'd']) await registry.register(complete({ instanceId }), CALLER);
  await lapse(raw, keys, ['c']);
  await raw.config('SET', 'maxmemory-policy', 'noeviction');
  await raw.config('SET', 'maxmemory', '1mb');
  const full = { code: 'store_unavailable' };

  await expect(registry.register(complete({ instanceId: 'new' }), CALLER)).rejects.toMatchObject(full);
  expect(await registry.heartbeat([{ instanceId: 'a' }])).toMatchObject([{ status: 200 }]);
  await registry.remove('b', {}, CALLER);
  expect((await maintenance.sweep()).evicted).toEqual(['game:kr-1:c']);

  const turn = await Promise.allSettled([
    registry.register(complete({ instanceId: 'new' }), CALLER),
    registry.heartbeat([{ instanceId: 'a' }]),
    registry.remove('d', {}, CALLER),
  ]);
  expect(turn).toMatchObject([
    { status: 'rejected', reason: full }, { status: 'fulfilled', value: [{ status: 200 }] }, { status: 'fulfilled' },
  ]);

  await raw.config('SET', 'maxmemory', '0');
  await registry.register(complete({ instanceId: 'new' }), CALLER);
  const state = await readStore(raw, keys);
  expectAgreement(state);
  expect([...state.records.keys()].sort()).toEqual(['a', 'new']);
});

test('a heartbeat is behind a few calls of the batches of others, however many those are', async () => {
  const { registry, store } = await withoutReader();
  await Promise.all(ids(1000).map((instanceId) => registry.register(complete({ instanceId }), CALLER)));
  const begun = vi.spyOn(store.connection, 'multi');
  const batches = Promise.all(Array.from({ length: 20 }, () => registry.heartbeat(ids(1000).map((instanceId) => ({ instanceId })))));
  await registry.heartbeat([{ instanceId: 'id-0' }]);
  expect(begun.mock.calls.length).toBeLessThan(30); // of 80: those in front of it, and what followed each of them
  expect((await batches).flat().every(({ status }) => status === 200)).toBe(true);
});
