import { describe, expect, test, type TestContext } from 'vitest';
import { startFleet } from '../helpers/fleet.js';
import { registration } from '../helpers/gateway.js';
import { expectProblem } from '../helpers/problem.js';
import { until } from '../helpers/until.js';

const BEGUN_MS = 4000;

async function startOne({ onTestFinished }: TestContext, env: Record<string, string> = {}) {
  const fleet = await startFleet({ size: 1, env });
  onTestFinished(fleet.stop);
  const call = fleet.call(0);
  await call.post('/instances').send(registration({ instanceId: 'a', ttlSeconds: 60 })).expect(201);
  await call.get('/instances/a?consistency=strong').expect(200);
  const [member] = fleet.members;
  if (!member) throw new Error('no replica');
  return { fleet, call, ...member };
}

// Mostly waiting, so side by side.
describe.concurrent('a replica that is cut off from Redis', () => {
  test('stays ready and answers from memory, says how stale that is, and is not for who needs Redis', { timeout: 40_000 }, async (context) => {
    const { expect } = context;
    const { call, gate } = await startOne(context);
    for (const path of ['//readyz', '//readyz?require=redis']) expect((await call.get(path).expect(200)).body).toEqual({ status: 'ready' });
    gate.cut();
    const from = performance.now();
    const { headers, body } = await until(async () => [await call.get('/instances').expect(200)].find((answer) => answer.headers['x-stale-seconds'] !== undefined), 5000);
    expect(performance.now() - from).toBeGreaterThan(700);
    expect(Number(headers['x-stale-seconds'])).toBe(2); // rounded up
    expect(body.instances).toMatchObject([{ instanceId: 'a' }]);
    const strict = await until(async () => [await call.get('//readyz?require=redis')].find(({ status }) => status === 503), BEGUN_MS);
    expectProblem(strict, 503, 'store_unavailable');
    expect((await call.get('//readyz').expect(200)).body).toEqual({ status: 'ready' });
    expectProblem(await call.post('/instances').send(registration()), 503, 'store_unavailable');
    expect((await call.get('/groups').expect(200)).body.groups).toHaveLength(1);
    expect((await call.get('/instances/a').expect(200)).body.instanceId).toBe('a');
    gate.mend();
    await until(async () => (await call.get('//readyz?require=redis')).status === 200);
    await until(async () => (await call.get('/instances')).headers['x-stale-seconds'] === undefined);
  });

  test('is not ready after MAX_STALE_SECONDS, refuses reads then, and is back with Redis', { timeout: 40_000 }, async (context) => {
    const { expect } = context;
    const { call, gate } = await startOne(context, { MAX_STALE_SECONDS: '3' });
    gate.halt(); // without a word
    const from = performance.now();
    const refused = await until(async () => [await call.get('//readyz')].find(({ status }) => status === 503), 10_000);
    expect(performance.now() - from).toBeGreaterThan(2700);
    expectProblem(refused, 503, 'store_unavailable');
    for (const path of ['/instances', '/instances/a', '/groups', '/watch']) expectProblem(await call.get(path), 503, 'store_unavailable');
    await call.get('//livez').expect(200);
    gate.cut();
    gate.mend();
    await until(async () => (await call.get('//readyz')).status === 200);
    expect((await call.get('/instances').expect(200)).body.instances).toMatchObject([{ instanceId: 'a' }]);
  });
});

describe('a replica that begins', () => {
  test('is not ready before its epoch is old enough, and refuses reads until then', { timeout: 40_000 }, async (context) => {
    const { call, fleet, replica, start } = await startOne(context);
    await replica.kill();
    await fleet.raw.flushall();
    const from = performance.now();
    await start();
    expect(performance.now() - from).toBeGreaterThan(2800);
    expect((await call.get('/instances').expect(200)).body).toEqual({ instances: [] });
  });
});
