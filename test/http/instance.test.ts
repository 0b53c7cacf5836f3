import { describe, expect, test } from 'vitest';
import { eventsIn } from '../helpers/events.js';
import { buildGateway, caller, registration } from '../helpers/gateway.js';
import { keyspace } from '../helpers/keyspace.js';
import { expectProblem } from '../helpers/problem.js';
import { sharedGateway } from '../helpers/shared-gateway.js';
import { secretOf, tokensOf } from '../helpers/tokens.js';
import { until } from '../helpers/until.js';

const gateway = sharedGateway();

const given = { instanceId: 'game-1', incarnation: 'life-1', labels: { a: '1', b: '2' }, customState: 'loading', performance: { tps: 60 } };

async function withInstance(fields: Record<string, unknown> = {}) {
  const built = gateway();
  const registered = await built.call.post('/instances').send(registration({ ...given, ...fields })).expect(201);
  const look = async () => (await built.call.get('/instances/game-1').expect(200)).body as Record<string, unknown>;
  const patch = (body: object) => built.call.patch('/instances/game-1').send(body);
  const events = () => eventsIn(built.raw, built.keys.events);
  return { ...built, revision: registered.body.revision as string, look, patch, events };
}

describe('looking at one instance', () => {
  test('gives its record and the revision of its last change', async () => {
    const { call, revision } = await withInstance();
    const { body, headers } = await call.get('/instances/game-1').expect(200);
    expect(body).toMatchObject({ ...given, type: 'game', group: 'kr-1', cordoned: false });
    expect(headers['x-revision']).toBe(revision);
  });

  test('is 404 for an unknown id, a removed one, and one whose lease has ended', async () => {
    const { call } = await withInstance({ ttlSeconds: 1 });
    expectProblem(await call.get('/instances/nobody'), 404, 'instance_not_found');
    expectProblem(await until(async () => [await call.get('/instances/game-1')].find(({ status }) => status === 404)), 404, 'instance_not_found');
    await call.delete('/instances/game-1').expect(204);
    expectProblem(await call.get('/instances/game-1'), 404, 'instance_not_found');
  });
});

/** A patch by RFC 7396, and what it leaves; undefined is a field that is absent. */
const patches: [patch: object, left: object][] = [
  [{ status: 'error' }, { status: 'error', customState: 'loading', labels: { a: '1', b: '2' } }],
  [{ customState: 'ready for players' }, { customState: 'ready for players', status: 'ready' }],
  [{ customState: null }, { customState: undefined }],
  [{ customState: '' }, { customState: undefined }],
  [{ labels: { a: '9' } }, { labels: { a: '9', b: '2' } }],
  [{ labels: { a: null } }, { labels: { b: '2' } }],
  [{ labels: { a: null, b: null } }, { labels: {} }],
  [{ labels: { c: '3', unknown: null } }, { labels: { a: '1', b: '2', c: '3' } }],
  [{ labels: { a: '' } }, { labels: { a: '', b: '2' } }],
  [{ labels: { 'x/y': 'é "quoted" \\ / 서울 😀' } }, { labels: { a: '1', b: '2', 'x/y': 'é "quoted" \\ / 서울 😀' } }],
  [{ cordoned: true }, { cordoned: true, status: 'ready' }],
  [{ status: 'shutting_down', customState: null, labels: { a: null }, cordoned: true }, { status: 'shutting_down', customState: undefined, labels: { b: '2' }, cordoned: true }],
];

describe('a patch', () => {
  test.each(patches)('of %j is applied and answered', async (patch, left) => {
    const instance = await withInstance();
    const { body, headers } = await instance.patch(patch).expect(200);
    for (const [field, value] of Object.entries(left)) expect(body[field]).toEqual(value);
    expect(await instance.look()).toEqual(body);
    expect(headers['x-revision']).not.toBe(instance.revision);
    expect((await instance.events()).map(({ kind, cause, by }) => [kind, cause, by])).toEqual([['registered', 'register', 'token-1'], ['updated', 'patch', 'token-1']]);
  });

  test('equal to what stands is no change', async () => {
    const { patch, look, events, revision } = await withInstance();
    const before = await look();
    const same = { status: 'ready', customState: 'loading', labels: { b: '2', gone: null }, cordoned: false };
    const { body, headers } = await patch(same).expect(200);
    expect(body).toEqual(before);
    expect(headers['x-revision']).toBe(revision);
    await patch({ labels: {} }).expect(200);
    expect(await events()).toHaveLength(1);
  });

  test('never renews the lease', async () => {
    const { patch, look, raw, keys } = await withInstance();
    const before = await look();
    const lease = async () => [await raw.zrange(keys.leases, 0, '-1', 'WITHSCORES'), await raw.pexpiretime(keys.face('game-1')), await raw.pexpiretime(keys.record('game-1'))];
    const leaseBefore = await lease();
    await patch({ status: 'error', labels: { c: '3' }, cordoned: true }).expect(200);
    const { expiresAt, lastHeartbeat, registeredAt } = before;
    expect(await look()).toMatchObject({ expiresAt, lastHeartbeat, registeredAt });
    expect(await lease()).toEqual(leaseBefore);
  });

  test('does not bring a lapsed instance back', async () => {
    const { patch, call, raw, prefix, keys } = await withInstance({ ttlSeconds: 1 });
    await until(async () => (await call.get('/instances/game-1')).status === 404 && (await raw.exists(keys.face('game-1'))) === 0);
    const stored = () => keyspace(raw, [keys.alive], `${prefix}*`); // every pulse may touch that one
    const before = await stored();
    expectProblem(await patch({ status: 'ready' }), 404, 'instance_not_found');
    expect(await stored()).toEqual(before);
  });

  test('that would leave more than 32 labels is 400 and changes nothing', async () => {
    const { patch, look } = await withInstance({ labels: Object.fromEntries(Array.from({ length: 31 }, (_, i) => [`k${i}`, ''])) });
    await patch({ labels: { k31: '' } }).expect(200);
    const before = await look();
    expectProblem(await patch({ status: 'error', labels: { k32: '' } }), 400, 'invalid_request', '/labels');
    expect(await look()).toEqual(before);
    await patch({ labels: { k0: null, k32: '' } }).expect(200);
  });

  test('of an id that is unknown is 404', async () => {
    const { call } = gateway();
    expectProblem(await call.patch('/instances/nobody').send({ status: 'ready' }), 404, 'instance_not_found');
  });

  test('of cordoned needs the verb admin', async () => {
    const { app, call } = await buildGateway({ tokens: tokensOf({ name: 'writer', verbs: ['read', 'write'] }, { name: 'operator', verbs: ['read', 'write', 'admin'] }) });
    expectProblem(await call.get('/instances'), 401, 'unauthorized');
    const [writer, operator] = [caller(app.server, secretOf('writer')), caller(app.server, secretOf('operator'))];
    await writer.post('/instances').send(registration(given)).expect(201);
    for (const cordoned of [true, false]) expectProblem(await writer.patch('/instances/game-1').send({ cordoned, status: 'error' }), 403, 'forbidden');
    expect((await writer.get('/instances/game-1')).body).toMatchObject({ cordoned: false, status: 'ready' });
    await operator.patch('/instances/game-1').send({ cordoned: true }).expect(200);
  });
});

test('cordoned survives heartbeats, re-registration and a move, and ends with the instance', async () => {
  const { call, patch, look } = await withInstance();
  await patch({ cordoned: true }).expect(200);
  const steps = [
    () => call.post('/instances/game-1/heartbeat').send({ status: 'ready', labels: { a: '5' } }),
    () => call.post('/instances').send(registration(given)),
    () => call.post('/instances').send(registration({ instanceId: 'game-1', incarnation: 'life-2' })),
    () => call.post('/instances').send(registration({ instanceId: 'game-1', group: 'eu-1' })),
  ];
  for (const step of steps) {
    await step().expect(200);
    expect(await look()).toMatchObject({ cordoned: true });
  }
  await patch({ cordoned: false }).expect(200);
  expect(await look()).toMatchObject({ cordoned: false });
  await patch({ cordoned: true }).expect(200);
  await call.delete('/instances/game-1').expect(204);
  await call.post('/instances').send(registration(given)).expect(201);
  expect(await look()).toMatchObject({ cordoned: false });
});

describe('a removal', () => {
  const rights = ['', '?type=game', '?group=kr-1', '?type=game&group=kr-1', '?incarnation=life-1', '?type=game&group=kr-1&incarnation=life-1'];
  test.each(rights)('with %j removes it, tells it once, and leaves no key of it', async (query) => {
    const { call, raw, prefix, keys, events } = await withInstance();
    const { headers, text } = await call.delete(`/instances/game-1${query}`).expect(204);
    expect(text).toBe('');
    expect(headers['x-revision']).toMatch(/^\w+\.\d+-\d+$/);
    const pulsed = [keys.alive, keys.epoch, keys.swept]; // at the latest by now, since a look takes the pulse
    await call.get('/groups').expect(200);
    expect((await raw.keys(`${prefix}*`)).sort()).toEqual([...pulsed, keys.events].sort());
    expect((await events()).map(({ kind }) => kind)).toEqual(['registered', 'removed']);
    expect((await events()).at(-1)).toMatchObject({ instanceId: 'game-1', hostname: 'game-1.example.com', cause: 'deregister', by: 'token-1' });
    expectProblem(await call.delete(`/instances/game-1${query}`), 404, 'instance_not_found');
  });

  const wrongs: [query: string, status: number, code: string][] = [
    ['?type=chat', 404, 'instance_not_found'],
    ['?group=eu-1', 404, 'instance_not_found'],
    ['?type=game&group=eu-1', 404, 'instance_not_found'],
    ['?type=chat&incarnation=life-0', 404, 'instance_not_found'],
    ['?incarnation=life-0', 409, 'stale_incarnation'],
    ['?type=game&group=kr-1&incarnation=life-0', 409, 'stale_incarnation'],
  ];
  test('that names another home is 404, another incarnation 409, and removes nothing', async () => {
    const { call, look } = await withInstance();
    const before = await look();
    for (const [query, status, code] of wrongs) expectProblem(await call.delete(`/instances/game-1${query}`), status, code);
    expect(await look()).toEqual(before);
  });

  test('by a process that was replaced leaves its successor alone', async () => {
    const { call, look } = await withInstance();
    await call.post('/instances').send(registration({ instanceId: 'game-1', incarnation: 'life-2' })).expect(200);
    expectProblem(await call.delete('/instances/game-1?incarnation=life-1'), 409, 'stale_incarnation');
    expect(await look()).toMatchObject({ incarnation: 'life-2' });
  });

  test('of a lapsed instance tells one departure: the sweep finds nothing', async () => {
    const { call, maintenance, events } = await withInstance({ ttlSeconds: 1 });
    await until(async () => (await call.get('/instances/game-1')).status === 404);
    await call.delete('/instances/game-1').expect(204);
    expect((await maintenance.sweep()).evicted).toEqual([]);
    expect((await events()).map(({ kind }) => kind)).toEqual(['registered', 'removed']);
  });
});
