import { expect, test } from 'vitest';
import { buildGateway, caller, registration } from '../helpers/gateway.js';
import { sharedGateway } from '../helpers/shared-gateway.js';
import { secretOf, tokensOf } from '../helpers/tokens.js';

const gateway = sharedGateway();

type Gateway = ReturnType<typeof gateway>;
const register = (call: Gateway['call'], instanceId: string, fields = {}) =>
  call.post('/instances').send(registration({ instanceId, incarnation: 'life-1', ...fields })).expect(201);

test('a batch answers each heartbeat in order, and one that fails does not fail its neighbours', async () => {
  const { call, raw, keys } = gateway();
  const full = Object.fromEntries(Array.from({ length: 32 }, (_, i) => [`k${i}`, '']));
  for (const id of ['a', 'b', 'c', 'spoilt']) await register(call, id, id === 'c' ? { labels: full } : {});
  await raw.set(keys.record('spoilt'), 'written by hand');

  const beats = [
    { instanceId: 'b' },
    { instanceId: 'nobody' },
    { instanceId: 'a', incarnation: 'life-0' },
    { instanceId: 'spoilt' },
    { instanceId: 'c', labels: { more: '' } },
    { instanceId: 'a', incarnation: 'life-1', status: 'error', performance: { tps: 1 } },
    { instanceId: 'b', customState: 'second' },
  ];
  const { body } = await call.post('/heartbeats').send(beats).expect(200);
  expect(body.results).toEqual([
    { instanceId: 'b', status: 200 },
    { instanceId: 'nobody', status: 404, code: 'instance_not_found' },
    { instanceId: 'a', status: 409, code: 'stale_incarnation' },
    { instanceId: 'spoilt', status: 200 }, // the replica knows it, and writes it anew
    { instanceId: 'c', status: 400, code: 'invalid_request' },
    { instanceId: 'a', status: 200 },
    { instanceId: 'b', status: 200 },
  ]);
  expect((await call.get('/instances/a')).body).toMatchObject({ status: 'error', performance: { tps: 1 } });
  expect((await call.get('/instances/b')).body).toMatchObject({ customState: 'second' });
});

test('heartbeats for one id are applied in the order of the batch', async () => {
  const { call } = gateway();
  await register(call, 'a');
  const statuses = ['error', 'initializing', 'shutting_down'];
  await call.post('/heartbeats').send(statuses.map((status) => ({ instanceId: 'a', status }))).expect(200);
  expect((await call.get('/instances/a')).body.status).toBe('shutting_down');
});

test('the next batch is due when the shortest lease in it asks for one', async () => {
  const { call } = gateway();
  await register(call, 'long', { ttlSeconds: 300 });
  await register(call, 'short', { ttlSeconds: 6 });
  const { body } = await call.post('/heartbeats').send([{ instanceId: 'long' }, { instanceId: 'short' }]).expect(200);
  expect(body.nextHeartbeatMs).toBeGreaterThanOrEqual(2000); // later, up to half a lease, while the machine is slow
  expect(body.nextHeartbeatMs).toBeLessThanOrEqual(3000);
});

test('the revision is the latest of those renewed, and absent when none was', async () => {
  const { call } = gateway();
  const older = await register(call, 'older');
  const newer = await register(call, 'newer');
  const both = await call.post('/heartbeats').send([{ instanceId: 'newer' }, { instanceId: 'older' }]).expect(200);
  expect(both.body.revision).toBe(newer.body.revision);
  const one = await call.post('/heartbeats').send([{ instanceId: 'older' }, { instanceId: 'nobody' }]).expect(200);
  expect(one.body.revision).toBe(older.body.revision);
  const none = await call.post('/heartbeats').send([{ instanceId: 'nobody' }]).expect(200);
  expect(none.body).toEqual({ results: [{ instanceId: 'nobody', status: 404, code: 'instance_not_found' }], nextHeartbeatMs: 10_000 });
});

test('a batch of 1,000 renews every lease', async () => {
  const { call, registry, raw, keys } = gateway();
  const ids = Array.from({ length: 1000 }, (_, i) => `game-${String(i).padStart(4, '0')}`);
  const complete = { type: 'game', group: 'kr-1', hostname: 'h', incarnation: 'life-1', ports: [], status: 'ready' as const, ttlSeconds: 30 };
  await Promise.all(ids.map((instanceId) => registry.register({ ...complete, instanceId }, { name: 'test' })));
  await raw.zadd(keys.leases, ...ids.flatMap((id) => [1, `game:kr-1:${id}`]));

  const performance = { tps: 60, note: 'x'.repeat(900) };
  const { body } = await call.post('/heartbeats').send(ids.map((instanceId) => ({ instanceId, incarnation: 'life-1', performance }))).expect(200);
  expect(body.results).toEqual(ids.map((instanceId) => ({ instanceId, status: 200 })));
  expect(await raw.zcount(keys.leases, Date.now(), '+inf')).toBe(1000);
});

test('a heartbeat for an instance outside the token is 403 in its place and does not renew', async () => {
  const tokens = tokensOf({ name: 'all', verbs: ['read', 'write'] }, { name: 'kr', verbs: ['write'], groups: ['kr-*'] });
  const { app } = await buildGateway({ tokens });
  const all = caller(app.server, secretOf('all'));
  await register(all, 'mine');
  await register(all, 'theirs', { group: 'eu-1' });
  const before = (await all.get('/instances/theirs')).body as unknown;

  const beats = [{ instanceId: 'theirs', status: 'error' }, { instanceId: 'mine' }, { instanceId: 'nobody' }];
  const { body } = await caller(app.server, secretOf('kr')).post('/heartbeats').send(beats).expect(200);
  expect(body.results).toEqual([
    { instanceId: 'theirs', status: 403, code: 'forbidden' },
    { instanceId: 'mine', status: 200 },
    { instanceId: 'nobody', status: 404, code: 'instance_not_found' },
  ]);
  expect((await all.get('/instances/theirs')).body).toEqual(before);
});
