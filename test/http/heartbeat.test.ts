import { describe, expect, test } from 'vitest';
import { eventsIn } from '../helpers/events.js';
import { buildGateway, registration, type GatewaySetup } from '../helpers/gateway.js';
import { expectProblem } from '../helpers/problem.js';
import { sharedGateway } from '../helpers/shared-gateway.js';
import { until } from '../helpers/until.js';

const gateway = sharedGateway();

async function withInstance(fields: Record<string, unknown> = {}, setup?: GatewaySetup) {
  const built = setup ? await buildGateway(setup) : gateway();
  await built.call.post('/instances').send(registration({ instanceId: 'game-1', incarnation: 'life-1', ...fields })).expect(201);
  const beat = (body?: object) => built.call.post('/instances/game-1/heartbeat').send(body);
  const look = async () => (await built.call.get('/instances/game-1').expect(200)).body as Record<string, unknown>;
  const events = () => eventsIn(built.raw, built.keys.events);
  return { ...built, beat, look, events };
}

describe('a heartbeat', () => {
  test('renews the lease and says when the next is due', async () => {
    const { beat, look, raw, keys, events } = await withInstance();
    const before = await look();
    await until(async () => (await beat()).body.expiresAt > String(before.expiresAt));
    const { body } = await beat().expect(200);
    expect(body).toEqual({ nextHeartbeatMs: expect.any(Number) as number, expiresAt: expect.stringMatching(/Z$/) as string, revision: expect.stringMatching(/^\w+\.\d+-\d+$/) as string });
    expect(body.nextHeartbeatMs).toBeGreaterThanOrEqual(10_000); // later, up to half a lease, while the machine is slow
    expect(body.nextHeartbeatMs).toBeLessThanOrEqual(15_000);
    const after = await look();
    expect(after).toMatchObject({ expiresAt: body.expiresAt, updatedAt: before.updatedAt, registeredAt: before.registeredAt });
    expect(await raw.zscore(keys.leases, 'game:kr-1:game-1')).toBe(String(Date.parse(body.expiresAt as string)));
    expect(await raw.pexpiretime(keys.face('game-1'))).toBeCloseTo(Date.parse(body.expiresAt as string), -2);
    expect(await events()).toHaveLength(1);
  });

  test('needs no incarnation, and takes its own', async () => {
    const { beat } = await withInstance();
    await beat({}).expect(200);
    await beat({ incarnation: 'life-1' }).expect(200);
  });

  test('is not due later than half the ttl', async () => {
    const { beat } = await withInstance({ ttlSeconds: 3 }, { heartbeatIntervalMs: 60_000 });
    expect((await beat().expect(200)).body.nextHeartbeatMs).toBeLessThanOrEqual(1500);
  });

  test('carries a patch, of which only real changes are events', async () => {
    const { beat, look, events } = await withInstance({ labels: { a: '1', b: '2' }, performance: { tps: 60, load: 1 } });
    const patch = { status: 'error', customState: 'disk full', labels: { a: null, c: '3' }, performance: { tps: 5 } };
    const changed = await beat(patch).expect(200);
    expect(await look()).toMatchObject({ status: 'error', customState: 'disk full', labels: { b: '2', c: '3' } });
    expect((await look()).performance).toEqual({ tps: 5 });
    const again = await beat(patch).expect(200);
    expect(again.body.revision).toBe(changed.body.revision);
    await beat({ performance: { tps: 6 } }).expect(200);
    expect((await events()).map(({ kind, cause }) => [kind, cause])).toEqual([['registered', 'register'], ['updated', 'heartbeat']]);
    expect((await look()).performance).toEqual({ tps: 6 });
  });

  test('clears customState with null, and the last label too', async () => {
    const { beat, look } = await withInstance({ customState: 'loading', labels: { a: '1' } });
    await beat({ customState: null, labels: { a: null } }).expect(200);
    expect(await look()).toMatchObject({ labels: {} });
    expect(await look()).not.toHaveProperty('customState');
  });

  test('that would leave more than 32 labels is 400 and changes nothing, the lease neither', async () => {
    const { beat, look } = await withInstance({ labels: Object.fromEntries(Array.from({ length: 32 }, (_, i) => [`k${i}`, ''])) });
    const before = await look();
    expectProblem(await beat({ labels: { more: '' }, performance: { tps: 1 } }), 400, 'invalid_request', '/labels');
    expect(await look()).toEqual(before);
    await beat({ labels: { k0: null, more: '' } }).expect(200);
  });

  test('of another process is 409 and changes nothing', async () => {
    const { beat, look } = await withInstance();
    const before = await look();
    expectProblem(await beat({ incarnation: 'life-0', status: 'error' }), 409, 'stale_incarnation');
    expect(await look()).toEqual(before);
  });

  test('of a process that was replaced is 409', async () => {
    const { beat, call } = await withInstance();
    await call.post('/instances').send(registration({ instanceId: 'game-1' })).expect(200);
    expectProblem(await beat({ incarnation: 'life-1' }), 409, 'stale_incarnation');
  });

  test('for an id that was never there is 404', async () => {
    const { call } = gateway();
    expectProblem(await call.post('/instances/nobody/heartbeat'), 404, 'instance_not_found');
  });

  test('after removal is 404 and revives nothing', async () => {
    const { beat, call, raw, keys } = await withInstance();
    await call.delete('/instances/game-1').expect(204);
    expectProblem(await beat({ incarnation: 'life-1' }), 404, 'instance_not_found');
    expect(await raw.exists(keys.face('game-1'), keys.record('game-1'), keys.leases, keys.groups)).toBe(0);
  });
});

describe('once the lease has lapsed, a heartbeat', () => {
  const lapsed = async () => {
    const instance = await withInstance({ ttlSeconds: 1, labels: { zone: 'a' }, systemInfo: { cpu: 'x' } });
    const before = await instance.look();
    await until(async () => (await instance.call.get('/instances/game-1')).status === 404);
    return { ...instance, before };
  };

  test('brings the instance back whole, as long as its end was not told', async () => {
    const { beat, look, before, raw, keys, events, call } = await lapsed();
    await until(async () => (await raw.exists(keys.face('game-1'))) === 0);
    expect((await call.get('/instances')).body).toEqual({ instances: [] });
    const { body } = await beat({ incarnation: 'life-1' }).expect(200);
    expect(await look()).toEqual({ ...before, expiresAt: body.expiresAt, lastHeartbeat: expect.any(String) as string });
    expect(await raw.hget(keys.face('game-1'), 'hostname')).toBe('game-1.example.com');
    expect(await events()).toHaveLength(1);
  });

  test('is 404 when its end was told', async () => {
    const { beat, maintenance, call } = await lapsed();
    expect((await maintenance.sweep()).evicted).toEqual(['game:kr-1:game-1']);
    expectProblem(await beat(), 404, 'instance_not_found');
    expect((await call.get('/instances')).body).toEqual({ instances: [] });
  });
});
