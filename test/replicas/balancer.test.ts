import { Agent } from 'node:http';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startFleet, type Fleet } from '../helpers/fleet.js';
import { caller, registration, TOKEN } from '../helpers/gateway.js';
import type { Balancer } from '../helpers/haproxy.js';
import { expectProblem } from '../helpers/problem.js';
import { send } from '../helpers/steady-load.js';
import { until } from '../helpers/until.js';

let fleet: Fleet;
let balancer: Balancer;
const through = () => caller(balancer.url, TOKEN);
const addressesOf = (members: Fleet['members']) => members.map(({ replica }) => `127.0.0.1:${replica.port}`).sort();

beforeAll(async () => {
  fleet = await startFleet();
  balancer = await fleet.startBalancer();
});
afterAll(() => fleet.stop());

test('what one replica acknowledged, the others discover at once, when they are asked for it', async () => {
  const discover = (other: number, need: string) => fleet.call(other).get(`/instances?type=game&group=agree&${need}`).expect(200);
  for (let i = 0; i < 3; i++) {
    const registered = await fleet.call(i).post('/instances').send(registration({ instanceId: `agree-${i}`, group: 'agree' })).expect(201);
    for (let other = 0; other < 3; other++) {
      for (const need of [`minRevision=${registered.body.revision as string}`, 'consistency=strong']) {
        expect((await discover(other, need)).body.instances, `${need} of ${other}`).toHaveLength(i + 1);
      }
    }
  }
  const { headers } = await fleet.call(1).delete('/instances/agree-0').expect(204);
  expect((await discover(0, `minRevision=${headers['x-revision']}`)).body.instances).toHaveLength(2);
  await fleet.call(2).post('/instances/agree-0/heartbeat').expect(404);
});

test.for([
  { claim: 'the address of the caller, not of the balancer, is registered', headers: {} },
  { claim: 'a caller cannot choose its address by X-Forwarded-For', headers: { 'x-forwarded-for': '203.0.113.9' } },
  { claim: 'nor by a chain of them', headers: { 'x-forwarded-for': '203.0.113.9, 127.0.0.1', forwarded: 'for=203.0.113.9' } },
])('through HAProxy: $claim', async ({ headers }) => {
  const agent = new Agent({ localAddress: '127.0.0.77' });
  const { status, body } = await send(agent, `${balancer.url}/sd/v1/instances`, 'POST', JSON.stringify(registration()), headers);
  expect(status).toBe(201);
  const { observedIp, instanceId } = JSON.parse(body) as { observedIp: string; instanceId: string };
  expect(observedIp).toBe('127.0.0.77');
  const found = await through().get(`/instances/${instanceId}?consistency=strong`).expect(200);
  expect(found.body).toMatchObject({ privateIp: '127.0.0.77' });
});

test('Swagger UI and all it loads come through HAProxy in production, without a token', async () => {
  const page = await through().get('//docs').redirects(2).expect(200);
  const assets = [...page.text.matchAll(/(?:src|href)="(\.?\/?[^":]+)"/g)].map(([, path = '']) => new URL(path, `${balancer.url}/docs/`));
  expect(assets.length).toBeGreaterThan(4);
  for (const asset of assets) expect((await fetch(asset)).status, asset.href).toBe(200);
  const { body } = await through().get('//openapi.json').expect(200);
  expect(body.servers).toMatchObject([{ url: '/' }]); // "Try it out" calls whatever served the page
  expect(body.components.securitySchemes.apiToken).toMatchObject({ in: 'header', name: 'X-API-Token' });
});

test('a replica cut from Redis is left out, the others serve, and it comes back by itself', async () => {
  const [lost, ...rest] = fleet.members;
  lost?.gate.cut();
  await until(async () => (await balancer.up('strict')).length === 2);
  expect(await balancer.up('strict')).toEqual(addressesOf(rest));
  for (let i = 0; i < 12; i++) await through().post('/instances').send(registration({ instanceId: `rest-${i}` })).expect(201);

  lost?.gate.mend();
  await until(async () => (await balancer.up('strict')).length === 3);
});

test('a replica killed outright is left out', async () => {
  const [, , killed] = fleet.members;
  await killed?.replica.kill();
  for (let i = 0; i < 12; i++) await through().get('/groups').expect(200); // refused connections are tried elsewhere
  await until(async () => (await balancer.up('serving')).length === 2);
  await killed?.start();
  await until(async () => (await balancer.up('serving')).length === 3);
});

test('without Redis the balancer turns to replicas that answer from memory, and writes are 503', async () => {
  await through().post('/instances').send(registration({ instanceId: 'kept', group: 'memory' })).expect(201);
  const listed = async (i: number) => ((await fleet.call(i).get('/instances?group=memory')).body as { instances: unknown[] }).instances.length === 1;
  for (let i = 0; i < 3; i++) await until(() => listed(i));
  await fleet.redis.kill();
  await until(async () => (await balancer.up('strict')).length === 0);
  expect(await balancer.up('serving')).toEqual(addressesOf(fleet.members));
  for (let i = 0; i < 3; i++) await until(async () => (await fleet.call(i).get('/instances?limit=1')).headers['x-stale-seconds']);
  for (let i = 0; i < 6; i++) {
    const { body, headers } = await through().get('/instances?group=memory').expect(200);
    expect(body.instances).toMatchObject([{ instanceId: 'kept' }]);
    expect(Number(headers['x-stale-seconds'])).toBeGreaterThanOrEqual(1);
    expectProblem(await through().post('/instances').send(registration({ instanceId: 'late' })), 503, 'store_unavailable');
  }
  await fleet.redis.restart();
  await until(async () => (await balancer.up('strict')).length === 3);
});

test('without any ready replica the balancer answers with a problem like the gateway’s', async () => {
  for (const { replica } of fleet.members) await replica.kill();
  await until(async () => (await balancer.up('serving')).length === 0);
  for (const [sent, repeated] of [['mine-1', 'mine-1'], ['mine"1', expect.stringMatching(/^[0-9a-f-]{36}$/) as string]] as const) {
    const answer = await through().get('/instances').set('X-Request-Id', sent);
    expectProblem(answer, 503, 'store_unavailable');
    expect([answer.headers['x-request-id'], (answer.body as { requestId: string }).requestId]).toEqual([repeated, repeated]);
  }
  for (const member of fleet.members) await member.start();
  await until(async () => (await balancer.up('strict')).length === 3);
  await through().get('/instances').expect(200);
});

test('a replica that hangs costs a heartbeat ten seconds, not as long as a stream may be silent', { timeout: 60_000 }, async () => {
  await through().post('/instances').send(registration({ instanceId: 'beats-on', ttlSeconds: 600 })).expect(201);
  const { replica } = fleet.members[2]!;
  replica.signal('SIGSTOP');
  const beat = () => fetch(`${balancer.url}/sd/v1/instances/beats-on/heartbeat`, { method: 'POST', headers: { 'x-api-token': TOKEN }, signal: AbortSignal.timeout(30_000) });
  const statuses = await Promise.all(Array.from({ length: 12 }, () => beat().then(({ status }) => status)));
  replica.signal('SIGCONT');
  expect([...new Set(statuses)].sort()).toEqual([200, 504]);
});
