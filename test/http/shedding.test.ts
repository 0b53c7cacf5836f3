import { expect, test } from 'vitest';
import { Pressure, SHED_ORDER, type Work } from '../../src/http/requests/pressure.js';
import { buildGateway, registration, TOKEN } from '../helpers/gateway.js';

function pressure({ lagMs = 0, settling = false } = {}) {
  const state = { lagMs, settling };
  const shed: Work[] = [];
  return { state, shed, pressure: new Pressure({ lagMs: () => state.lagMs, settling: () => state.settling, shed: (work) => shed.push(work) }) };
}

test('reads are left out first, then writes, and heartbeats last of all', () => {
  const { state, shed, pressure: subject } = pressure();
  const refusedFrom = (work: Work) => {
    for (state.lagMs = 0; state.lagMs < 10_000; state.lagMs++) if (subject.refuses(work)) return state.lagMs;
    return Infinity;
  };
  const thresholds = SHED_ORDER.map(refusedFrom);
  expect(SHED_ORDER).toEqual(['read', 'write', 'heartbeat']);
  expect(thresholds).toEqual([...thresholds].sort((a, b) => a - b));
  expect(new Set(thresholds).size).toBe(3);
  expect(thresholds[0]).toBeGreaterThanOrEqual(50); // a busy moment is no overload
  expect(thresholds[2]).toBeLessThan(10_000); // below the time in which leases end
  expect(shed).toEqual(SHED_ORDER);
});

test('a replica at rest refuses nothing', () => {
  const { shed, pressure: subject } = pressure({ lagMs: 5 });
  expect(SHED_ORDER.map((work) => subject.refuses(work))).toEqual([false, false, false]);
  expect(shed).toEqual([]);
});

test('a thousand registrations under way are enough: one more is refused, a read or a heartbeat is not', async () => {
  const { pressure: subject } = pressure();
  const finish: (() => void)[] = [];
  const under = Array.from({ length: 1000 }, () => subject.during(new Promise<void>((resolve) => finish.push(resolve))));
  expect(SHED_ORDER.map((work) => subject.refuses(work))).toEqual([false, true, false]);
  finish[0]?.();
  await under[0];
  expect(subject.refuses('write')).toBe(false);
  for (const done of finish) done();
  await Promise.all(under);
});

test('a registration that fails is no longer under way', async () => {
  const { pressure: subject } = pressure();
  const failed = Array.from({ length: 1000 }, () => subject.during(Promise.reject(new Error('no'))).catch(() => undefined));
  await Promise.all(failed);
  expect(subject.refuses('write')).toBe(false);
});

test.each([
  { lagMs: 0, settling: false, intervalMs: 10_000, ttlMs: 30_000, from: 10_000, to: 10_000 },
  { lagMs: 100, settling: false, intervalMs: 10_000, ttlMs: 30_000, from: 10_000, to: 15_000 },
  { lagMs: 0, settling: true, intervalMs: 10_000, ttlMs: 30_000, from: 10_000, to: 15_000 },
  { lagMs: 100, settling: true, intervalMs: 500, ttlMs: 3_600_000, from: 500, to: 750 },
  { lagMs: 100, settling: true, intervalMs: 333, ttlMs: 1000, from: 333, to: 500 },
  { lagMs: 100, settling: false, intervalMs: 900, ttlMs: 2000, from: 900, to: 1000 },
])('with lag $lagMs and settling $settling, $intervalMs of $ttlMs becomes $from to $to', ({ lagMs, settling, intervalMs, ttlMs, from, to }) => {
  const { pressure: subject } = pressure({ lagMs, settling });
  const said = Array.from({ length: 2000 }, () => subject.nextHeartbeatMs(intervalMs, ttlMs));
  expect(Math.min(...said)).toBeGreaterThanOrEqual(from);
  expect(Math.max(...said)).toBeLessThanOrEqual(to);
  expect(said.every(Number.isInteger)).toBe(true);
  // Spread over the whole of it, so that those who come at once do not go on doing so.
  if (to > from) expect([Math.min(...said) < from + 0.1 * (to - from), Math.max(...said) > to - 0.1 * (to - from)]).toEqual([true, true]);
});

async function underLoad() {
  const load = { lagMs: 0 };
  const gateway = await buildGateway({ lagMs: () => load.lagMs });
  await gateway.call.post('/instances').send(registration({ instanceId: 'a' })).expect(201);
  return { ...gateway, load };
}

test('while reads are shed, writes and heartbeats are done; while writes are, heartbeats are', async () => {
  const { call, load } = await underLoad();
  const statuses = async () => ({
    discover: (await call.get('/instances')).status,
    groups: (await call.get('/groups')).status,
    register: (await call.post('/instances').send(registration({ instanceId: 'b' }))).status,
    patch: (await call.patch('/instances/a').send({ status: 'error' })).status,
    beat: (await call.post('/instances/a/heartbeat')).status,
    beats: (await call.post('/heartbeats').send([{ instanceId: 'a' }])).status,
  });
  expect(await statuses()).toEqual({ discover: 200, groups: 200, register: 201, patch: 200, beat: 200, beats: 200 });
  load.lagMs = 300;
  expect(await statuses()).toEqual({ discover: 503, groups: 503, register: 200, patch: 200, beat: 200, beats: 200 });
  load.lagMs = 1000;
  expect(await statuses()).toEqual({ discover: 503, groups: 503, register: 503, patch: 503, beat: 200, beats: 200 });
  load.lagMs = 9000;
  expect(await statuses()).toEqual({ discover: 503, groups: 503, register: 503, patch: 503, beat: 503, beats: 503 });
});

test('what is shed is answered as a problem that says when to come back, whoever asks and whatever the body', async () => {
  const { call, load, app } = await underLoad();
  load.lagMs = 1000;
  for (const answer of [await call.get('/instances'), await call.post('/instances').send({ nonsense: 1 }), await call.get('/watch')]) {
    expect(answer.status).toBe(503);
    expect(answer.headers['retry-after']).toMatch(/^[1-9]\d*$/);
    expect(answer.headers['content-type']).toMatch(/^application\/problem\+json/);
    expect(answer.body).toMatchObject({ code: 'overloaded', type: 'urn:rollcall:problem:overloaded', status: 503, requestId: expect.any(String) as string });
  }
  const { statusCode } = await app.inject({ url: '/sd/v1/instances' }); // without a token
  expect(statusCode).toBe(503);
});

test('health and unknown routes are as ever under any load, documents are left out with reads', async () => {
  const { app, load } = await underLoad();
  load.lagMs = 60_000;
  for (const [url, status] of [['/livez', 200], ['/readyz', 200], ['/openapi.json', 503], ['/docs/json', 503], ['/nowhere', 404]] as const) {
    expect((await app.inject({ url })).statusCode, url).toBe(status);
  }
});

test.each([true, false])('metrics are read under any load: operators need them most then (public: %s)', async (metricsPublic) => {
  const { app } = await buildGateway({ lagMs: () => 60_000, metricsPublic });
  expect((await app.inject({ url: '/metrics', headers: { 'x-api-token': TOKEN } })).statusCode).toBe(200);
});

test('heartbeats under load are asked to come later, and never later than half a lease', async () => {
  const { call, load } = await underLoad();
  expect((await call.post('/instances/a/heartbeat')).body).toMatchObject({ nextHeartbeatMs: 10_000 });
  load.lagMs = 100;
  const said = await Promise.all(Array.from({ length: 40 }, async () => (await call.post('/instances/a/heartbeat')).body.nextHeartbeatMs as number));
  expect(new Set(said).size).toBeGreaterThan(10);
  expect(Math.min(...said)).toBeGreaterThanOrEqual(10_000);
  expect(Math.max(...said)).toBeLessThanOrEqual(15_000);
  const { body } = await call.post('/heartbeats').send([{ instanceId: 'a' }]);
  expect(body.nextHeartbeatMs).toBeLessThanOrEqual(15_000);
});

test('what is shed is counted by kind', async () => {
  const { call, load, app } = await underLoad();
  load.lagMs = 300;
  await call.get('/instances').expect(503);
  await call.get('/instances').expect(503);
  load.lagMs = 0;
  const { body } = await app.inject({ url: '/metrics', headers: { 'x-api-token': TOKEN } });
  expect(body).toMatch(/shed[^\n]*read[^\n]* 2\n/);
});
