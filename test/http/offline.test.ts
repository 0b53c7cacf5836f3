import { describe, expect, test, type TestContext } from 'vitest';
import { startFleet } from '../helpers/fleet.js';
import { buildGateway, caller, registration } from '../helpers/gateway.js';
import { expectProblem } from '../helpers/problem.js';
import { sharedGateway } from '../helpers/shared-gateway.js';
import { secretOf, tokensOf } from '../helpers/tokens.js';
import { until } from '../helpers/until.js';

const tokens = tokensOf(
  { name: 'fleet', verbs: ['read', 'write', 'admin'] },
  { name: 'ops', verbs: ['read', 'write'] },
  { name: 'kr', verbs: ['read'], groups: ['kr-*'] },
);
const gateway = sharedGateway({ tokens });
type Call = ReturnType<typeof caller>;
const as = (name: string): Call => caller(gateway().app.server, secretOf(name));

interface Listed {
  instanceId: string;
  departed?: { kind: string; cause: string; at: string; by?: string; deadline?: string };
}

const register = (instanceId: string, fields: object = {}) => as('fleet').post('/instances').send(registration({ instanceId, ...fields }));
const listed = async (query = '', call = as('fleet')): Promise<Listed[]> => (await call.get(`/instances?include=offline${query}`).expect(200)).body.instances;
const marked = async (query = '', call = as('fleet')) =>
  (await listed(query, call)).map(({ instanceId, departed }) => `${instanceId}${departed ? ` ${departed.kind}` : ''}`);

/** Live for a second, and then swept. */
async function expired(instanceId: string, fields: object = {}) {
  await register(instanceId, { ttlSeconds: 1, ...fields }).expect(201);
  await until(async () => (await gateway().maintenance.sweep()).evicted.some((member) => member.endsWith(`:${instanceId}`)));
}

describe('include=offline', () => {
  test('lists who was removed, by which token, beside who is there', async () => {
    await register('a', { labels: { version: '1' } }).expect(201);
    await register('b').expect(201);
    const before = (await as('fleet').get('/instances/a').expect(200)).body;
    await as('ops').delete('/instances/a').expect(204);
    const [a, b] = await listed();
    expect(a).toEqual({ ...before, departed: { kind: 'removed', cause: 'deregister', by: 'ops', at: expect.any(String) as string } });
    expect(Math.abs(Date.now() - Date.parse(a?.departed?.at ?? ''))).toBeLessThan(5000);
    expect([b?.instanceId, b?.departed]).toEqual(['b', undefined]);
    expect((await as('fleet').get('/instances').expect(200)).body.instances).toHaveLength(1);
    await as('fleet').get('/instances/a').expect(404);
  });

  test('lists who expired, with the end of the lease', async () => {
    await expired('a');
    const [a] = await listed();
    expect(a?.departed).toEqual({ kind: 'expired', cause: 'lease', at: expect.any(String) as string, deadline: expect.any(String) as string });
    const { at = '', deadline = '' } = a?.departed ?? {};
    const [entry] = (await as('fleet').get('/events?kind=registered').expect(200)).body.events as { at: string }[];
    expect(Date.parse(deadline) - Date.parse(entry?.at ?? '')).toBe(1000);
    expect(Date.parse(at)).toBeGreaterThanOrEqual(Date.parse(deadline));
  });

  test('does not list who has lapsed and is not told yet: who that is may come back', async () => {
    await register('a', { ttlSeconds: 1 }).expect(201);
    await until(async () => (await as('fleet').get('/instances')).body.instances.length === 0);
    expect(await marked()).toEqual([]);
  });

  test('keeps the order of type, group and id, page by page', async () => {
    const homes = [['d', 'game', 'kr-1'], ['c', 'game', 'kr-1'], ['b', 'game', 'eu-1'], ['a', 'game', 'kr-2'], ['e', 'chat', 'kr-1']];
    for (const [id = '', type, group] of homes) await register(id, { type, group }).expect(201);
    for (const id of ['c', 'a', 'e']) await as('fleet').delete(`/instances/${id}`).expect(204);
    const all = ['e removed', 'b', 'c removed', 'd', 'a removed'];
    expect(await marked()).toEqual(all);
    const paged: string[] = [];
    for (let after = ''; ; ) {
      const { body } = await as('fleet').get(`/instances?include=offline&limit=2${after && `&after=${after}`}`).expect(200);
      paged.push(...(body.instances as Listed[]).map(({ instanceId, departed }) => `${instanceId}${departed ? ' removed' : ''}`));
      if (body.next === undefined) break;
      after = body.next as string;
    }
    expect(paged).toEqual(all);
  });

  test('filters those who left as those who stayed: as they were when they left', async () => {
    await register('a', { labels: { zone: 'x' } }).expect(201);
    await register('b', { labels: { zone: 'x' }, status: 'error' }).expect(201);
    await register('c', { group: 'eu-1' }).expect(201);
    await register('d', { type: 'chat', labels: { zone: 'x' } }).expect(201);
    await as('fleet').patch('/instances/a').send({ status: 'shutting_down' }).expect(200);
    for (const id of ['a', 'b', 'c', 'd']) await as('fleet').delete(`/instances/${id}`).expect(204);
    const questions: [query: string, ids: string[]][] = [
      ['', ['d', 'c', 'a', 'b']],
      ['&type=game', ['c', 'a', 'b']],
      ['&group=kr-1', ['d', 'a', 'b']],
      ['&type=game&group=kr-1', ['a', 'b']],
      ['&status=shutting_down', ['a']],
      ['&status=ready', ['d', 'c']],
      ['&label.zone=x', ['d', 'a', 'b']],
      ['&type=game&group=kr-1&status=error&label.zone=x', ['b']],
      ['&type=game&group=nowhere', []],
    ];
    for (const [query, ids] of questions) expect([query, (await listed(query)).map(({ instanceId }) => instanceId)]).toEqual([query, ids]);
  });

  test('shows a limited token only what is its own', async () => {
    await register('a').expect(201);
    await register('b', { group: 'eu-1' }).expect(201);
    for (const id of ['a', 'b']) await as('fleet').delete(`/instances/${id}`).expect(204);
    expect(await marked('', as('kr'))).toEqual(['a removed']);
    expectProblem(await as('kr').get('/instances?include=offline&type=game&group=eu-1'), 403, 'forbidden');
  });

  test('has a tag of its own, which a departure and a return change', async () => {
    const tag = async () => (await as('fleet').get('/instances?include=offline').expect(200)).headers.etag as string;
    const tags = [await tag()];
    await register('a', { incarnation: 'life-1' }).expect(201);
    tags.push(await tag());
    await as('fleet').delete('/instances/a').expect(204);
    tags.push(await tag());
    await register('a', { incarnation: 'life-1' }).expect(201);
    expect(new Set(tags).size).toBe(3);
    expect(await tag()).toBe(tags[1]);
    await as('fleet').get('/instances?include=offline').set('If-None-Match', tags[1] as string).expect(304);
  });

  test('does not list who is back, nor who only moved, and lists the last departure of one that left twice', async () => {
    await register('a', { incarnation: 'life-1' }).expect(201);
    await as('fleet').delete('/instances/a').expect(204);
    await register('a', { incarnation: 'life-2' }).expect(201);
    expect(await marked()).toEqual(['a']);
    await register('a', { incarnation: 'life-2', group: 'eu-1' }).expect(200);
    expect(await marked()).toEqual(['a']);
    await as('ops').delete('/instances/a').expect(204);
    expect(await listed()).toMatchObject([{ instanceId: 'a', incarnation: 'life-2', group: 'eu-1', departed: { by: 'ops' } }]);
  });

  test('knows after a restart what it knew before', async () => {
    await register('a').expect(201);
    await register('b').expect(201);
    await register('c').expect(201);
    await as('ops').delete('/instances/a').expect(204);
    await as('ops').delete('/instances/c').expect(204);
    await register('c').expect(201);
    await expired('d');
    const restarted = await buildGateway({ prefix: gateway().prefix, tokens });
    const again = caller(restarted.app.server, secretOf('fleet'));
    expect(await marked('', again)).toEqual(['a removed', 'b', 'c', 'd expired']);
    expect((await listed('', again)).map(({ departed }) => departed)).toEqual((await listed()).map(({ departed }) => departed));
  });

  test('is refused together with healthCheck, and with anything but offline', async () => {
    expectProblem(await as('fleet').get('/instances?include=offline&healthCheck=true'), 400, 'invalid_request', '?include');
    expectProblem(await as('fleet').get('/instances?include=online'), 400, 'invalid_request', '?include');
    expect((await as('fleet').get('/instances?include=offline&healthCheck=false')).status).toBe(200);
  });
});

describe('OFFLINE_SECONDS', () => {
  test('is how long the departed are listed, whether they left or expired', { timeout: 40_000 }, async ({ onTestFinished }: TestContext) => {
    const fleet = await startFleet({ size: 1, env: { OFFLINE_SECONDS: '2' } });
    onTestFinished(fleet.stop);
    const call = fleet.call(0);
    const offline = async () => (await call.get('/instances?include=offline&consistency=strong').expect(200)).body.instances as Listed[];
    await call.post('/instances').send(registration({ instanceId: 'stays', ttlSeconds: 60 })).expect(201);
    await call.post('/instances').send(registration({ instanceId: 'leaves' })).expect(201);
    await call.post('/instances').send(registration({ instanceId: 'lapses', ttlSeconds: 1 })).expect(201);
    const seen = new Map<string, { first: number; last: number }>();
    await call.delete('/instances/leaves').expect(204);
    await until(async () => {
      for (const { instanceId, departed } of await offline()) {
        if (!departed) continue;
        const ageMs = Date.now() - Date.parse(departed.at);
        seen.set(instanceId, { first: seen.get(instanceId)?.first ?? ageMs, last: ageMs });
      }
      return seen.size === 2 && [...seen.values()].every(({ last }) => last > 1500) && (await offline()).length === 1;
    }, 15_000);
    for (const [id, { last }] of seen) expect([id, last < 2400]).toEqual([id, true]);
    expect((await offline()).map(({ instanceId }) => instanceId)).toEqual(['stays']);
  });
});
