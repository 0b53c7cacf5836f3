import { describe, expect, test } from 'vitest';
import { eventsIn } from '../helpers/events.js';
import { buildGateway, registration } from '../helpers/gateway.js';
import { expectProblem } from '../helpers/problem.js';
import { sharedGateway } from '../helpers/shared-gateway.js';

const gateway = sharedGateway();

const ULID = /^[0-7][0-9A-HJKMNP-TV-Z]{25}$/;
const ISO = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;

const everything = {
  instanceId: 'game-7',
  incarnation: 'life-1',
  type: 'game',
  group: 'kr-1',
  hostname: 'game-7.example.com',
  publicIp: '203.0.113.7',
  privateIp: '10.0.4.17',
  ports: [{ port: 7777, name: 'game', protocol: 'udp' }, { port: 80, protocol: 'tcp' }],
  status: 'initializing',
  customState: 'loading map 3 of 7',
  labels: { version: '1.4.2', 'app.example.com/tier': 'front', zone: '서울' },
  systemInfo: { cpu: 'EPYC', cores: 64, os: { name: 'linux', tags: ['a', 'b'] }, note: null },
  performance: { tps: 59.9, latencyMs: 12 },
  check: { protocol: 'tcp', port: 80, timeoutMs: 500 },
  ttlSeconds: 60,
};

describe('a new instance', () => {
  test('is 201 with ids minted, the lease, the interval and where it is', async () => {
    const { call } = gateway();
    const { body, headers } = await call.post('/instances').send(registration()).expect(201);
    expect(body).toEqual({
      instanceId: expect.stringMatching(ULID) as string,
      incarnation: expect.stringMatching(ULID) as string,
      ttlSeconds: 30,
      heartbeatIntervalMs: 10_000,
      revision: expect.stringMatching(/^\w+\.\d+-\d+$/) as string,
      observedIp: '127.0.0.1',
    });
    expect(headers.location).toBe(`/sd/v1/instances/${body.instanceId as string}`);
    expect(headers['cache-control']).toBe('no-store');
    await call.get(`/instances/${body.instanceId as string}`).expect(200);
  });

  test('keeps every field as it was given', async () => {
    const { call } = gateway();
    await call.post('/instances').send(everything).expect(201);
    const { body } = await call.get('/instances/game-7').expect(200);
    const times = { registeredAt: body.registeredAt, updatedAt: body.registeredAt, lastHeartbeat: body.registeredAt, expiresAt: body.expiresAt };
    expect(body).toEqual({ ...everything, ...times, cordoned: false });
    expect(body.registeredAt).toMatch(ISO);
    expect(Date.parse(body.expiresAt as string) - Date.parse(body.registeredAt as string)).toBe(60_000);
  });

  test('stands in Redis under the documented keys, with its lease as the time to live', async () => {
    const { call, raw, keys } = gateway();
    await call.post('/instances').send(everything).expect(201);
    const face = await raw.hgetall(keys.face('game-7'));
    expect(face).toMatchObject({ instanceId: 'game-7', type: 'game', group: 'kr-1', hostname: 'game-7.example.com', status: 'initializing', ttlSeconds: '60' });
    expect(JSON.parse(face.ports ?? '')).toEqual(everything.ports);
    expect(JSON.parse(face.labels ?? '')).toEqual(everything.labels);
    expect(await raw.pexpiretime(keys.face('game-7'))).toBeCloseTo(Date.parse(face.expiresAt ?? ''), -2);
    expect(await raw.smembers(keys.members('game:kr-1'))).toEqual(['game-7']);
    expect(await raw.zscore(keys.leases, 'game:kr-1:game-7')).toBe(String(Date.parse(face.expiresAt ?? '')));
    expect(await eventsIn(raw, keys.events)).toMatchObject([{ kind: 'registered', instanceId: 'game-7', incarnation: 'life-1', by: 'token-1' }]);
  });

  test('gets the defaults for what it leaves out', async () => {
    const { call } = gateway();
    const { body } = await call.post('/instances').send({ type: 'auth', hostname: 'a', ports: [8080] }).expect(201);
    const found = await call.get(`/instances/${body.instanceId as string}`).expect(200);
    expect(found.body).toMatchObject({ group: 'default', status: 'ready', ports: [{ port: 8080, protocol: 'tcp' }], labels: {}, cordoned: false, ttlSeconds: 30 });
    for (const absent of ['customState', 'systemInfo', 'performance', 'check', 'health', 'suspect', 'publicIp']) expect(found.body).not.toHaveProperty(absent);
  });

  test.each([[1, 333], [2, 666], [12, 4000], [30, 10_000], [3600, 10_000]])('with a ttl of %i s is asked for a heartbeat every %i ms', async (ttlSeconds, ms) => {
    const { call } = gateway();
    const { body } = await call.post('/instances').send(registration({ ttlSeconds })).expect(201);
    expect(body).toMatchObject({ ttlSeconds, heartbeatIntervalMs: ms });
  });

  test('has a ttl within the bounds of the configuration', async () => {
    const { call } = await buildGateway({ lease: { defaultSeconds: 5, minSeconds: 4, maxSeconds: 6 } });
    for (const ttlSeconds of [3, 7]) expectProblem(await call.post('/instances').send(registration({ ttlSeconds })), 400, 'invalid_request', '/ttlSeconds');
    for (const ttlSeconds of [4, 6]) await call.post('/instances').send(registration({ ttlSeconds })).expect(201);
  });
});

describe('an id that is known', () => {
  test('is 200 and the same registration when the same incarnation repeats it', async () => {
    const { call, raw, keys } = gateway();
    const first = await call.post('/instances').send(everything).expect(201);
    const before = await call.get('/instances/game-7');
    const again = await call.post('/instances').send(everything).expect(200);
    expect(again.body).toEqual(first.body);
    const { body } = await call.get('/instances/game-7').expect(200);
    expect(body).toMatchObject({ registeredAt: before.body.registeredAt, updatedAt: before.body.updatedAt });
    expect(body.expiresAt >= before.body.expiresAt).toBe(true);
    expect(await eventsIn(raw, keys.events)).toHaveLength(1);
  });

  test('keeps its registeredAt when the same incarnation says something new', async () => {
    const { call, raw, keys } = gateway();
    await call.post('/instances').send(everything).expect(201);
    const before = await call.get('/instances/game-7');
    await call.post('/instances').send({ ...everything, status: 'ready', customState: undefined }).expect(200);
    const { body } = await call.get('/instances/game-7').expect(200);
    expect(body).toMatchObject({ status: 'ready', registeredAt: before.body.registeredAt });
    expect(body).not.toHaveProperty('customState');
    expect((await eventsIn(raw, keys.events)).map(({ kind }) => kind)).toEqual(['registered', 'updated']);
  });

  test('is 200 and replaced whole by another incarnation', async () => {
    const { call, raw, keys } = gateway();
    await call.post('/instances').send(everything).expect(201);
    const { body } = await call.post('/instances').send(registration({ instanceId: 'game-7' })).expect(200);
    expect(body.incarnation).not.toBe('life-1');
    const found = await call.get('/instances/game-7').expect(200);
    expect(found.body).toMatchObject({ hostname: 'game-1.example.com', labels: {}, ports: [], ttlSeconds: 30 });
    expect(found.body).not.toHaveProperty('systemInfo');
    expect((await eventsIn(raw, keys.events)).at(-1)).toMatchObject({ kind: 'registered', replaces: 'life-1', lapsed: '0' });
  });

  test.each([{ group: 'eu-1' }, { type: 'chat' }])('moves to %j and leaves nothing behind', async (elsewhere) => {
    const { call, raw, keys } = gateway();
    await call.post('/instances').send(everything).expect(201);
    await call.post('/instances').send({ ...everything, ...elsewhere }).expect(200);
    expect((await call.get('/instances?type=game&group=kr-1')).body).toEqual({ instances: [] });
    const { body } = await call.get('/instances').expect(200);
    expect(body.instances).toMatchObject([{ instanceId: 'game-7', ...elsewhere }]);
    expect(await raw.exists(keys.members('game:kr-1'))).toBe(0);
    expect(await raw.zcard(keys.leases)).toBe(1);
    expect((await eventsIn(raw, keys.events)).at(-1)).toMatchObject({ kind: 'registered', fromType: 'game', fromGroup: 'kr-1', ...elsewhere });
  });

  test('is one record however many register it at once: one 201, the rest 200', async () => {
    const { call, raw, keys } = gateway();
    const answers = await Promise.all(Array.from({ length: 100 }, () => call.post('/instances').send(registration({ instanceId: 'same' }))));
    expect(answers.filter(({ status }) => status === 201)).toHaveLength(1);
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(99);
    const { body } = await call.get('/instances').expect(200);
    const last = (await eventsIn(raw, keys.events)).at(-1);
    expect(body.instances).toMatchObject([{ instanceId: 'same', incarnation: last?.incarnation }]);
    expect(await raw.zcard(keys.leases)).toBe(1);
  });
});
