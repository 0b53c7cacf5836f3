import { setTimeout as sleep } from 'node:timers/promises';
import type { AddressInfo } from 'node:net';
import { describe, expect, onTestFinished, test } from 'vitest';
import { createMetrics } from '../../src/http/metrics/metrics.js';
import { sseFrames } from '../../src/http/replies/sse-frames.js';
import { serve } from '../../src/redis/serve.js';
import { View } from '../../src/registry/view/view.js';
import { WatchHub } from '../../src/registry/watch/hub.js';
import { buildGateway, caller, openRegistry, registration, TOKEN, type GatewaySetup } from '../helpers/gateway.js';
import { eventsIn } from '../helpers/events.js';
import { expectProblem } from '../helpers/problem.js';
import { openWatch, type Frame, type WatchOptions } from '../helpers/sse.js';
import { complete } from '../helpers/store.js';
import { secretOf, tokensOf } from '../helpers/tokens.js';
import { until } from '../helpers/until.js';
import { WatchLog, type WatchLogOptions } from '../helpers/watch-log.js';

/** A gateway, and watches of it that end with the test. */
async function watched(setup: GatewaySetup = {}, secret = TOKEN) {
  const gateway = await buildGateway(setup);
  const url = `http://127.0.0.1:${(gateway.app.server.address() as AddressInfo).port}/sd/v1/watch`;
  const watch = (query = '', { headers, ...options }: WatchOptions = {}) => {
    const opened = openWatch(`${url}${query}`, { headers: { 'x-api-token': secret, ...headers }, ...options });
    onTestFinished(() => opened.cut());
    return opened;
  };
  const call = caller(gateway.app.server, secret);
  const register = (instanceId: string, fields: object = {}) => call.post('/instances').send(registration({ instanceId, incarnation: 'life-1', ...fields }));
  /** What was written before is in this replica's memory: reads here are strong. */
  const settled = () => call.get('/groups').expect(200);
  return { ...gateway, call, url, watch, register, settled };
}

interface Told {
  kind: string;
  revision: string;
  cause: string;
  instance: Record<string, unknown> & { instanceId: string };
  [field: string]: unknown;
}

const snapshotOf = async (watch: ReturnType<typeof openWatch>) => (await watch.next(({ event }) => event === 'snapshot')).json<{ instances: Record<string, unknown>[]; revision: string }>();
const line = ({ event, data }: Frame) => `${event} ${(JSON.parse(data) as Told).instance.instanceId}`;
const changes = (frames: Frame[]) => frames.filter(({ event }) => !['snapshot', 'bookmark', 'performance'].includes(event));
const bookmarks = (frames: Frame[]) => frames.filter(({ event }) => event === 'bookmark');
const EVENT_STREAM = { 'content-type': 'text/event-stream; charset=utf-8', 'cache-control': 'no-cache, no-transform', 'x-accel-buffering': 'no' };

describe('a watch begins', () => {
  test('with a word on when to come back, and what there is as GET /instances tells it, at a revision that is its id', async () => {
    const { call, watch, register } = await watched();
    await register('b', { labels: { zone: 'x' }, ports: [7777] }).expect(201);
    const { body } = await register('a').expect(201);
    const listed = await call.get('/instances').expect(200);
    const opened = watch();
    const frame = await opened.next();
    expect([opened.status, opened.headers]).toMatchObject([200, EVENT_STREAM]);
    expect(opened.headers['x-request-id']).toMatch(/\S/);
    expect(frame.event).toBe('snapshot');
    expect(frame.json()).toEqual({ instances: listed.body.instances, revision: body.revision });
    expect(frame.id).toBe(body.revision);
    expect(opened.retry).toBeGreaterThanOrEqual(1000);
    expect(opened.retry).toBeLessThanOrEqual(3000);
  });

  test('with an empty list where there is nothing, and for a group that does not exist', async () => {
    const { watch } = await watched();
    for (const query of ['', '?type=game&group=nowhere']) {
      const opened = watch(query);
      expect((await snapshotOf(opened)).instances).toEqual([]);
      expect(opened.lastEventId).toMatch(/^[A-Za-z0-9]+\.0-0$/);
    }
  });

  test('with 2,500 instances in several frames, each once and in order, and only the last one has an id', async () => {
    const { registry, watch } = await watched();
    const ids = Array.from({ length: 2500 }, (_, i) => `game-${String(i).padStart(4, '0')}`);
    await Promise.all(ids.map((instanceId) => registry.register(complete({ instanceId }), { name: 'test' })));
    await registry.discover({ limit: 1 }, { strong: true });
    for (const query of ['', '?type=game&group=kr-1']) {
      const opened = watch(query);
      await opened.next(({ id }) => id !== undefined);
      const parts = opened.frames.map((frame) => ({ id: frame.id, ...frame.json<{ instances: { instanceId: string }[]; revision: string; more?: boolean }>() }));
      expect(parts.length).toBeGreaterThan(2);
      expect(parts.map(({ more, id, revision }) => [more, id === revision])).toEqual(parts.map((_, i) => (i + 1 < parts.length ? [true, false] : [undefined, true])));
      expect(new Set(parts.map(({ revision }) => revision)).size).toBe(1);
      expect(parts.flatMap(({ instances }) => instances.map(({ instanceId }) => instanceId))).toEqual(ids);
    }
  });

  test('while others write: what its snapshot holds is not told again, and what it lacks is', async () => {
    const { watch, register, call, raw, keys } = await watched();
    const logs = Array.from({ length: 20 }, () => new WatchLog());
    for (const [i, log] of logs.entries()) {
      watch('', { onFrame: (frame) => log.accept(frame), lastEventId: log.connect() });
      await register(`i-${i}`).expect(201);
    }
    await call.delete('/instances/i-0').expect(204);
    const [epoch] = ((await call.get('/instances?consistency=strong')).headers['x-revision'] as string).split('.');
    const ids = (await raw.xrange(keys.events, '-', '+')).map(([id]) => id);
    const truth = (await eventsIn(raw, keys.events)).map((event, i) => ({ ...event, kind: event.kind ?? '', revision: `${epoch}.${ids[i]}` }));
    await until(() => logs.every((log) => log.behind(truth) === 0));
    expect(logs.flatMap((log) => log.violations(truth))).toEqual([]);
  });
});

describe('a watcher is told', () => {
  test('every kind of change with its record and cause, in order, each at its revision', async () => {
    const { call, watch, register, maintenance } = await watched();
    const opened = watch();
    await snapshotOf(opened);
    const revisions = [
      (await register('a', { ports: [7777], labels: { zone: 'x' } }).expect(201)).body.revision,
      (await call.patch('/instances/a').send({ status: 'error', labels: { zone: null } }).expect(200)).headers['x-revision'],
      (await call.post('/instances/a/heartbeat').send({ customState: 'full' }).expect(200)).body.revision,
      (await register('a', { incarnation: 'life-2' }).expect(200)).body.revision,
      (await call.delete('/instances/a').expect(204)).headers['x-revision'],
      (await register('b', { ttlSeconds: 1 }).expect(201)).body.revision,
    ];
    await until(async () => (await maintenance.sweep()).evicted.length === 1);
    const expired = await opened.next(({ event }) => event === 'expired');
    const frames = changes(opened.frames);
    expect(frames.map(line)).toEqual(['registered a', 'updated a', 'updated a', 'registered a', 'removed a', 'registered b', 'expired b']);
    expect(frames.slice(0, -1).map(({ id }) => id)).toEqual(revisions);
    const told = frames.map((frame) => frame.json<Told>());
    expect(told.map(({ revision }) => revision)).toEqual(frames.map(({ id }) => id));
    expect(told.map(({ kind }) => kind)).toEqual(frames.map(({ event }) => event));
    const [name] = [...new Set(told.slice(0, -1).map(({ by }) => by))];
    expect(told).toMatchObject([
      { cause: 'register', by: name, instance: { incarnation: 'life-1', ports: [{ port: 7777 }], labels: { zone: 'x' }, status: 'ready' } },
      { cause: 'patch', instance: { status: 'error', labels: {} } },
      { cause: 'heartbeat', instance: { customState: 'full' } },
      { cause: 'register', replaces: 'life-1', lapsed: false, instance: { incarnation: 'life-2' } },
      { cause: 'deregister', instance: { incarnation: 'life-2' } },
      { cause: 'register', instance: { ttlSeconds: 1 } },
      { cause: 'lease', deadline: expect.any(String) as string, instance: { instanceId: 'b' } },
    ]);
    expect(expired.json<Told>().by).toBeUndefined();
    expect((await call.get('/events?limit=7').expect(200)).body.events.reverse()).toEqual(told);
  });

  test('within 200 ms of the answer to the writer', async () => {
    const { watch, register } = await watched();
    const opened = watch();
    await snapshotOf(opened);
    const late: number[] = [];
    for (let i = 0; i < 20; i++) {
      await register(`i-${i}`).expect(201);
      const from = performance.now();
      late.push((await opened.next(({ event }) => event === 'registered')).at - from);
    }
    expect(late.sort((a, b) => a - b)[10]).toBeLessThan(50);
    expect(late.at(-1)).toBeLessThan(200);
  });

  test('of what it asked for: a type, a group, both, or all', async () => {
    const { call, watch, register } = await watched();
    const asked: WatchLogOptions[] = [{}, { type: 'game' }, { group: 'kr-1' }, { type: 'game', group: 'kr-1' }, { type: 'chat', group: 'eu-1' }];
    const opened = asked.map((query) => watch(`?${new URLSearchParams(query as Record<string, string>).toString()}`));
    for (const one of opened) expect((await snapshotOf(one)).instances).toEqual([]);
    for (const [id, type, group] of [['gk', 'game', 'kr-1'], ['ge', 'game', 'eu-1'], ['ck', 'chat', 'kr-1'], ['ce', 'chat', 'eu-1']] as const) await register(id, { type, group }).expect(201);
    for (const id of ['gk', 'ge', 'ck', 'ce']) await call.delete(`/instances/${id}`).expect(204);
    const both = (...ids: string[]) => [...ids.map((id) => `registered ${id}`), ...ids.map((id) => `removed ${id}`)];
    const expected = [both('gk', 'ge', 'ck', 'ce'), both('gk', 'ge'), both('gk', 'ck'), both('gk'), both('ce')];
    await until(() => opened.every((one, i) => changes(one.frames).length >= (expected[i] as string[]).length));
    expect(opened.map((one) => changes(one.frames).map(line))).toEqual(expected);
  });

  test('of one that moves out of what it watches that it is removed, and where to; who watches both sees one registration', async () => {
    const { watch, register, settled } = await watched();
    await register('a').expect(201);
    await settled();
    const [old, target, wide] = [watch('?type=game&group=kr-1'), watch('?type=game&group=eu-1'), watch('?type=game')];
    for (const one of [old, target, wide]) await snapshotOf(one);
    const { body } = await register('a', { group: 'eu-1', incarnation: 'life-2' }).expect(200);
    const removed = await old.next(({ event }) => event === 'removed');
    expect(removed.json()).toEqual({
      kind: 'removed', cause: 'moved', by: expect.any(String) as string, revision: body.revision, at: expect.any(String) as string, to: { type: 'game', group: 'eu-1' },
      instance: { instanceId: 'a', incarnation: 'life-1', type: 'game', group: 'kr-1' },
    });
    expect(removed.id).toBe(body.revision);
    for (const one of [target, wide]) {
      const arrived = await one.next(({ event }) => event === 'registered');
      expect([arrived.id, arrived.json()]).toMatchObject([body.revision, { from: { type: 'game', group: 'kr-1' }, replaces: 'life-1', instance: { group: 'eu-1' } }]);
    }
    expect(changes(wide.frames)).toHaveLength(1);
  });

  test('nothing of heartbeats, and nothing of performance unless it asks', async () => {
    const { call, watch, register, settled } = await watched();
    await register('a').expect(201);
    await settled();
    const opened = watch();
    await snapshotOf(opened);
    for (let i = 0; i < 20; i++) await call.post('/instances/a/heartbeat').send({ performance: { i } }).expect(200);
    await sleep(1500); // a round, in which it would be told
    await register('b').expect(201);
    await opened.next(({ event }) => event === 'registered');
    expect(changes(opened.frames).map(line)).toEqual(['registered b']);
    expect(opened.frames.every(({ event }) => event !== 'performance')).toBe(true);
  });

  test('the performance that it asks for, at most once a second, without an id, of what it watches', async () => {
    const { call, watch, register, settled } = await watched();
    await register('a').expect(201);
    await register('b', { group: 'eu-1' }).expect(201);
    await settled();
    const opened = watch('?group=kr-1&performance=true');
    const plain = watch('?group=kr-1&performance=false');
    await snapshotOf(opened);
    let n = 0;
    for (const until_ = performance.now() + 4500; performance.now() < until_; await sleep(50)) {
      n++;
      for (const id of ['a', 'b']) await call.post(`/instances/${id}/heartbeat`).send({ performance: { n } }).expect(200);
    }
    const last = await until(() => opened.frames.find(({ data }) => data.includes(`"n":${n}`)), 3000);
    const frames = opened.frames.filter(({ event }) => event === 'performance');
    expect(frames.length).toBeGreaterThanOrEqual(3);
    expect(frames.length).toBeLessThanOrEqual(6);
    frames.slice(1).forEach(({ at }, i) => expect(at - (frames[i] as Frame).at).toBeGreaterThan(800));
    expect(frames.every(({ id }) => id === undefined)).toBe(true);
    expect(last.json()).toEqual({ instances: [{ instanceId: 'a', type: 'game', group: 'kr-1', lastHeartbeat: expect.any(String) as string, performance: { n } }] });
    expect(plain.frames.filter(({ event }) => event === 'performance' || event === 'updated')).toEqual([]);
  });

  test('every 15 seconds that it is there: a bookmark if something moved elsewhere, from which it can go on, else a comment', { timeout: 45_000 }, async () => {
    const [moving, idle] = [await watched(), await watched()];
    await idle.register('a').expect(201);
    await idle.settled();
    const [opened, quiet] = [moving.watch('?group=kr-1'), idle.watch()];
    await Promise.all([snapshotOf(opened), snapshotOf(quiet)]);
    const from = performance.now();
    const { body } = await moving.register('b', { group: 'eu-1' }).expect(201);
    await idle.call.post('/instances/a/heartbeat').expect(200);
    const bookmark = await opened.next(({ event }) => event === 'bookmark', 17_000);
    expect([bookmark.id, bookmark.json()]).toEqual([body.revision, { revision: body.revision }]);
    await until(() => quiet.comments > 0, 17_000);
    expect(performance.now() - from).toBeLessThan(17_000);
    expect([changes(opened.frames), bookmarks(quiet.frames)]).toEqual([[], []]);

    const again = moving.watch('?group=kr-1', { lastEventId: opened.lastEventId });
    await again.opened;
    await moving.register('c').expect(201);
    expect(line(await again.next())).toBe('registered c');
    await until(() => opened.comments > 0 || bookmarks(opened.frames).length > 1, 17_000); // it goes on
  });
});

describe('who may watch', () => {
  const tokens = tokensOf({ name: 'all', verbs: ['read', 'write', 'admin'] }, { name: 'kr', verbs: ['read'], types: ['game'], groups: ['kr-*'] }, { name: 'writer', verbs: ['write'] });

  test('a limited token sees its groups in a wide watch, and is refused another', async () => {
    const { register, watch, url, call, settled } = await watched({ tokens }, secretOf('all'));
    await register('before', { group: 'kr-1' }).expect(201);
    await register('hidden', { group: 'eu-1' }).expect(201);
    await settled();
    const kr = { 'x-api-token': secretOf('kr') };
    const opened = ['', '?type=game', '?group=kr-1', '?type=game&group=kr-1'].map((query) => watch(query, { headers: kr }));
    for (const one of opened) expect((await snapshotOf(one)).instances.map(({ instanceId }) => instanceId)).toEqual(['before']);
    await register('x', { type: 'chat' }).expect(201);
    await register('y', { group: 'eu-1' }).expect(201);
    await call.delete('/instances/hidden').expect(204);
    await register('z').expect(201);
    for (const one of opened) {
      await one.next(({ event }) => event === 'registered');
      expect(changes(one.frames).map(line)).toEqual(['registered z']);
    }
    for (const query of ['?type=game&group=eu-1', '?type=chat&group=kr-1']) {
      const refused = openWatch(`${url}${query}`, { headers: kr });
      await refused.ended;
      expectProblem({ status: refused.status, headers: refused.headers, body: JSON.parse(refused.body) }, 403, 'forbidden');
    }
  });

  test('a limited token sees who leaves its groups, and not where to', async () => {
    const { register, watch, settled } = await watched({ tokens }, secretOf('all'));
    await register('a').expect(201);
    await settled();
    const opened = watch('', { headers: { 'x-api-token': secretOf('kr') } });
    await snapshotOf(opened);
    await register('a', { group: 'secret-1' }).expect(200);
    const removed = await opened.next(({ event }) => event === 'removed');
    expect(removed.json()).toMatchObject({ cause: 'moved', instance: { instanceId: 'a', group: 'kr-1' } });
    await register('a', { group: 'kr-2' }).expect(200);
    const back = await opened.next(({ event }) => event === 'registered');
    expect(`${removed.data}${back.data}`).not.toContain('secret-1');
  });

  test.each([
    ['no token', {}, 401, 'unauthorized'],
    ['a wrong one', { 'x-api-token': 'wrong' }, 401, 'unauthorized'],
    ['one that only writes', { 'x-api-token': secretOf('writer') }, 403, 'forbidden'],
  ] as const)('%s is refused with a problem', async (_what, headers, status, code) => {
    const { url } = await watched({ tokens }, secretOf('all'));
    const refused = openWatch(url, { headers });
    await refused.ended;
    expectProblem({ status: refused.status, headers: refused.headers, body: JSON.parse(refused.body) }, status, code);
  });
});

describe('a watch is refused', () => {
  test.each([['?type=a:b', '?type'], ['?group=', '?group'], ['?status=ready', '?status'], ['?performance=yes', '?performance'], ['?type=a&type=b', '?type']])('with %s, naming %s', async (query, pointer) => {
    const { call } = await watched();
    expectProblem(await call.get(`/watch${query}`), 400, 'invalid_request', pointer);
  });

  test('by any method but GET', async () => {
    const { call, url } = await watched();
    const head = await fetch(url, { method: 'HEAD', headers: { 'x-api-token': TOKEN } });
    expect([head.status, head.headers.get('allow')]).toEqual([405, 'GET']);
    for (const method of ['post', 'patch', 'delete'] as const) expectProblem(await call[method]('/watch'), 405, 'method_not_allowed');
  });

  test('while the registry is not read yet, with 503, with or without a position', async () => {
    const { store, prefix } = await openRegistry();
    const view = new View({ hub: new WatchHub(sseFrames, { ended: () => undefined }), maxStaleMs: 1000 });
    const { call } = await buildGateway({ prefix, registry: serve(store, view), view, metrics: createMetrics() });
    for (const id of ['', 'x', 'epoch.1-1']) expectProblem(await call.get('/watch').set('Last-Event-ID', id), 503, 'store_unavailable');
    expect((await call.get('//metrics')).text).toMatch(/^rollcall_watchers 0$/m);
  });
});

describe('a watch ends', () => {
  test('when the replica shuts down: cleanly, with a word on when to come back', async () => {
    const { app, watch, register, call } = await watched();
    await register('a').expect(201);
    const opened = Array.from({ length: 50 }, () => watch());
    for (const one of opened) await snapshotOf(one);
    const first = opened.map(({ retry }) => retry);
    expect((await call.get('//metrics')).text).toMatch(/^rollcall_watchers 50$/m);
    const idle = setInterval(() => app.server.closeIdleConnections(), 50); // as a replica does
    onTestFinished(() => clearInterval(idle));
    const from = performance.now();
    await app.close();
    for (const one of opened) expect(await one.ended).toEqual({ clean: true, by: 'server' });
    expect(performance.now() - from).toBeLessThan(2000);
    const retries = opened.map(({ retry }) => retry ?? 0);
    expect(Math.min(...retries)).toBeGreaterThanOrEqual(1000);
    expect(Math.max(...retries)).toBeLessThanOrEqual(3000);
    expect(retries).not.toEqual(first);
    expect(new Set(retries).size).toBeGreaterThan(20); // so they do not all come back together
  });

  test('when its reader goes: nothing of it stays', async () => {
    const { watch, call } = await watched();
    const opened = Array.from({ length: 20 }, (_, i) => watch(`?group=g-${i % 3}`));
    for (const one of opened) await snapshotOf(one);
    for (const one of opened) one.cut();
    await until(async () => /^rollcall_watchers 0$/m.test((await call.get('//metrics')).text));
  });
});
