import { describe, expect, onTestFinished, test } from 'vitest';
import { serve } from '../../src/redis/serve.js';
import { buildGateway, openRegistry, registration, type StoreSetup } from '../helpers/gateway.js';
import { expectProblem } from '../helpers/problem.js';
import { startRedis } from '../helpers/redis.js';
import { complete } from '../helpers/store.js';
import { until } from '../helpers/until.js';

/** A gateway whose reads are no fresher than they are asked to be: the other tests' are strong unless they say otherwise. */
async function plainGateway(setup: StoreSetup = {}) {
  const { store, view, prefix } = await openRegistry(setup);
  return buildGateway({ ...setup, prefix, registry: serve(store, view), view });
}

/** Two replicas over one prefix: one reads, the other writes. */
async function pair() {
  const reader = await plainGateway();
  const writer = await plainGateway({ prefix: reader.prefix });
  return { reader, writer };
}

const TIMES = 100;
const PATHS: [path: string, sees: (body: { instances: { instanceId: string }[] } & Record<string, unknown>) => unknown][] = [
  ['/instances?type=game&group=kr-1', ({ instances }) => instances.some(({ instanceId }) => instanceId === 'mine')],
  ['/instances?label.turn=x', ({ instances }) => instances.some(({ instanceId }) => instanceId === 'mine')],
  ['/instances/mine', ({ instanceId }) => instanceId === 'mine'],
  ['/groups', ({ groups }) => (groups as { group: string }[]).some(({ group }) => group === 'kr-1')],
];
const with_ = (path: string, parameter: string) => `${path}${path.includes('?') ? '&' : '?'}${parameter}`;

describe('minRevision', () => {
  test.each(PATHS)('of a write that another replica answered is taken into account, time after time, by GET %s', async (path, sees) => {
    const { reader, writer } = await pair();
    const unseen: string[] = [];
    for (let i = 0; i < 40; i++) {
      const { body } = await writer.call.post('/instances').send(registration({ instanceId: 'mine', labels: { turn: 'x' } })).expect(201);
      const seen = await reader.call.get(with_(path, `minRevision=${body.revision}`)).expect(200);
      if (!sees(seen.body)) unseen.push(`the registration of turn ${i}`);
      const { headers } = await writer.call.delete('/instances/mine').expect(204);
      const gone = await reader.call.get(with_(path, `minRevision=${String(headers['x-revision'])}`));
      if (sees({ instances: [], groups: [], ...gone.body })) unseen.push(`the removal of turn ${i}`);
    }
    expect(unseen).toEqual([]);
  });

  test('is met by an answer whose revision is that one or a later one', async () => {
    const { reader, writer } = await pair();
    const idOf = (revision: string) => Number(/\.(\d+)-/.exec(revision)?.[1]);
    for (let i = 0; i < 20; i++) {
      const { body } = await writer.call.post('/instances').send(registration()).expect(201);
      const { headers } = await reader.call.get(`/instances?minRevision=${body.revision}`).expect(200);
      expect(idOf(headers['x-revision'] as string)).toBeGreaterThanOrEqual(idOf(body.revision as string));
    }
  });

  test('of a heartbeat is one that is known, and costs no wait', async () => {
    const { reader, writer } = await pair();
    await writer.call.post('/instances').send(registration({ instanceId: 'mine' })).expect(201);
    const { body } = await writer.call.post('/instances/mine/heartbeat').expect(200);
    expect((await reader.call.get(`/instances/mine?minRevision=${body.revision}`).expect(200)).body).toMatchObject({ instanceId: 'mine' });
  });

  test('of another epoch is answered as strong', async () => {
    const { reader, writer } = await pair();
    for (let i = 0; i < 50; i++) {
      const instanceId = `i-${i}`;
      await writer.call.post('/instances').send(registration({ instanceId })).expect(201);
      await reader.call.get(`/instances/${instanceId}?minRevision=1763683200123x1.9999999999999-1`).expect(200);
    }
  });

  test.each(['x', '1-1', 'epoch', 'epoch.', 'epoch.1', 'epoch.1-', 'epoch.a-b', 'epoch.-1-1', 'e:p.1-1', '%20', ''])('that is %j is refused, naming it', async (revision) => {
    const { call } = await plainGateway();
    for (const path of ['/instances', '/instances/nobody', '/groups']) {
      expectProblem(await call.get(`${path}?minRevision=${revision}`), 400, 'invalid_request', '?minRevision');
    }
  });

  test('of the future is 400 within 1.2 seconds, and no one else waits for it', async () => {
    const { call } = await plainGateway();
    const { body } = await call.post('/instances').send(registration({ instanceId: 'mine' })).expect(201);
    const [epoch] = (body.revision as string).split('.');
    await call.get(`/instances/mine?minRevision=${body.revision}`).expect(200);
    for (const path of ['/instances', '/instances/mine', '/groups']) {
      const from = performance.now();
      const asked = call.get(`${path}?minRevision=${epoch}.${Date.now() + 3_600_000}-1`);
      const refused = asked.then((answer) => ({ answer, ms: performance.now() - from }));
      await call.get('/instances/mine').expect(200);
      expect(performance.now() - from).toBeLessThan(500);
      const { answer, ms } = await refused;
      expectProblem(answer, 400, 'invalid_request', '?minRevision');
      expect(ms).toBeLessThan(1300);
    }
  });
});

describe('consistency=strong', () => {
  test('sees what another registry wrote just before, 100 times', async () => {
    const reader = await plainGateway();
    const writer = await openRegistry({ prefix: reader.prefix });
    const wrong: string[] = [];
    for (let i = 0; i < TIMES; i++) {
      await writer.registry.register(complete({ instanceId: 'mine', customState: `turn ${i}` }), { name: 'test' });
      for (const path of ['/instances?type=game&group=kr-1&consistency=strong', '/instances?status=ready&consistency=strong']) {
        const { body } = await reader.call.get(path).expect(200);
        if (body.instances[0]?.customState !== `turn ${i}`) wrong.push(`${path} after turn ${i}: ${JSON.stringify(body)}`);
      }
      const { body } = await reader.call.get('/instances/mine?consistency=strong').expect(200);
      if (body.customState !== `turn ${i}`) wrong.push(`by id after turn ${i}: ${body.customState}`);
      if (i % 10 === 9) {
        await writer.registry.remove('mine', {}, { name: 'test' });
        const { body: groups } = await reader.call.get('/groups?consistency=strong').expect(200);
        if (groups.groups.length > 0) wrong.push(`groups after turn ${i}`);
      }
    }
    expect(wrong).toEqual([]);
  });

  test('does not show a lease that has ended by the time of the call', async () => {
    const { call } = await plainGateway();
    for (let i = 0; i < 3; i++) {
      const { body } = await call.post('/instances').send(registration({ instanceId: 'short', ttlSeconds: 1 })).expect(i === 0 ? 201 : 200);
      const endsAt = Number(/\.(\d+)-/.exec(body.revision as string)?.[1]) + 1000;
      await until(() => Date.now() > endsAt, 3000, 1);
      expect((await call.get('/instances?consistency=strong').expect(200)).body).toEqual({ instances: [] });
    }
  });

  test.each(['weak', '', 'STRONG'])('that is %j is refused, naming it', async (consistency) => {
    const { call } = await plainGateway();
    expectProblem(await call.get(`/instances?consistency=${consistency}`), 400, 'invalid_request', '?consistency');
  });
});

describe('without Redis', () => {
  test('strong is 503 in time, and a plain discover goes on from memory, saying for how long Redis has been silent', async () => {
    const redis = await startRedis();
    onTestFinished(redis.stop);
    const { call } = await plainGateway({ redisUrl: redis.url });
    const { body } = await call.post('/instances').send(registration({ instanceId: 'mine', ttlSeconds: 2 })).expect(201);
    const fresh = await call.get(`/instances?minRevision=${body.revision}`).expect(200);
    expect(fresh.headers['x-stale-seconds']).toBeUndefined();
    await redis.kill();

    for (const path of ['/instances', '/instances/mine', '/groups']) {
      const from = performance.now();
      expectProblem(await call.get(`${path}?consistency=strong`), 503, 'store_unavailable');
      expect(performance.now() - from).toBeLessThan(1500);
    }
    const stale = await until(async () => [await call.get('/instances')].find(({ headers }) => Number(headers['x-stale-seconds']) >= 3));
    expect(stale.body.instances).toMatchObject([{ instanceId: 'mine' }]); // its lease has ended meanwhile, which nobody can know
    expect(stale.headers.etag).toBe(fresh.headers.etag);
    const unchanged = await call.get('/instances').set('If-None-Match', stale.headers.etag as string).expect(304);
    expect(Number(unchanged.headers['x-stale-seconds'])).toBeGreaterThanOrEqual(3);
    await call.get('/instances/mine').expect(200);
    await call.get(`/instances?minRevision=${body.revision}`).expect(200); // it has that already
    expect(Number(/^rollcall_view_stale_seconds (\S+)/m.exec((await call.get('//metrics')).text)?.[1])).toBeGreaterThanOrEqual(2);

    await redis.restart();
    await until(async () => (await call.get('/instances')).headers['x-stale-seconds'] === undefined);
    await call.get('/instances?consistency=strong').expect(200);
  });
});
