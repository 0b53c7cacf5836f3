import { expect, test } from 'vitest';
import { readConfig } from '../../src/config.js';
import { parseNetwork } from '../../src/contract/index.js';
import { mayProbe } from '../../src/probes/networks.js';
import { createTcpProber } from '../../src/probes/tcp.js';
import { buildGateway, registration } from '../helpers/gateway.js';
import { listening } from '../helpers/listening.js';
import { freePort } from '../helpers/ports.js';
import { expectProblem } from '../helpers/problem.js';
import { sharedGateway } from '../helpers/shared-gateway.js';
import { until } from '../helpers/until.js';

const gateway = sharedGateway();

type Call = ReturnType<typeof gateway>['call'];
const register = (call: Call, instanceId: string, fields: object) => call.post('/instances').send(registration({ instanceId, ...fields })).expect(201);

async function check(call: Call, query = '?healthCheck=true') {
  const { body, headers } = await call.get(`/instances${query}`).expect(200);
  return { ids: (body.instances as { instanceId: string }[]).map(({ instanceId }) => instanceId), unchecked: headers['x-health-unchecked'], next: body.next as unknown };
}

test('healthCheck=true leaves out what does not accept a connection now', async () => {
  const { call } = gateway();
  const { port, accepted } = await listening();
  const closed = await freePort();
  await register(call, 'closed', { ports: [closed] });
  await register(call, 'open', { ports: [port] });
  await register(call, 'open-by-its-check', { ports: [closed], check: { protocol: 'tcp', port } });
  await register(call, 'closed-by-its-check', { ports: [port], check: { protocol: 'tcp', port: closed } });
  await register(call, 'open-behind-udp', { ports: [{ port: closed, protocol: 'udp' }, { port, protocol: 'tcp' }] });
  expect(await check(call)).toEqual({ ids: ['open', 'open-behind-udp', 'open-by-its-check'], unchecked: '0', next: undefined });
  await until(() => accepted() === 3);
  expect(await check(call, '')).toMatchObject({ ids: { length: 5 }, unchecked: undefined });
});

test('a failed probe changes neither the instance nor its lease', async () => {
  const { call } = gateway();
  await register(call, 'closed', { ports: [await freePort()] });
  const before = (await call.get('/instances/closed')).body as unknown;
  expect((await check(call)).ids).toEqual([]);
  expect((await call.get('/instances/closed').expect(200)).body).toEqual(before);
});

test('what cannot be asked stays listed and is counted in X-Health-Unchecked', async () => {
  const { call } = gateway();
  await register(call, 'without-ports', {});
  await register(call, 'only-udp', { ports: [{ port: 7777, protocol: 'udp' }] });
  expect(await check(call)).toEqual({ ids: ['only-udp', 'without-ports'], unchecked: '2', next: undefined });
});

test('the first address in an allowed network is asked, and none outside', async () => {
  const { port, accepted } = await listening();
  const outside = await buildGateway({ prober: createTcpProber(['10.0.0.0/8']) });
  await register(outside.call, 'on-loopback', { ports: [port] });
  expect(await check(outside.call)).toEqual({ ids: ['on-loopback'], unchecked: '1', next: undefined });
  expect(accepted()).toBe(0);

  const inside = await buildGateway({ prober: createTcpProber(['127.0.0.1']) });
  await register(inside.call, 'public-on-loopback', { privateIp: '10.9.9.9', publicIp: '127.0.0.1', ports: [port] });
  await register(inside.call, 'mapped', { privateIp: '::ffff:127.0.0.1', ports: [port] });
  expect(await check(inside.call)).toEqual({ ids: ['mapped', 'public-on-loopback'], unchecked: '0', next: undefined });
  await until(() => accepted() === 2);
});

test('link-local addresses are never asked, whatever is allowed', async () => {
  const { call } = await buildGateway({ prober: createTcpProber(['0.0.0.0/0', '::/0']) });
  const addresses = ['169.254.169.254', '::ffff:169.254.169.254', 'fe80::1'];
  for (const [i, privateIp] of addresses.entries()) await register(call, `metadata-${i}`, { privateIp, publicIp: '169.254.1.1', ports: [80] });
  expect(await check(call)).toMatchObject({ ids: { length: 3 }, unchecked: '3' });
});

const network = (...cidrs: string[]) => cidrs.map(parseNetwork);

test.each([
  ['100.100.100.200', '100.64.0.0/10'], ['168.63.129.16', '168.63.0.0/16'], ['192.0.0.192', '192.0.0.0/24'], ['::ffff:100.100.100.200', '100.64.0.0/10'],
  ['fd00:ec2::254', 'fc00::/7'], ['fd20:ce::254', 'fc00::/7'], ['169.254.1.1', '169.254.0.0/16'], ['::ffff:169.254.1.1', '::ffff:169.254.0.0/112'],
  ['64:ff9b::a00:1', '::/0'], ['2002:a00:1::', '::/0'], ['::ffff:0:10.0.0.1', '::/0'],
])('%s is never asked, though %s is allowed', (address, cidr) => {
  expect(mayProbe(address, network(cidr))).toBe(false);
});

test('IPv4-mapped forms are IPv4, of addresses and of networks', () => {
  for (const cidr of ['10.0.0.0/8', '::ffff:10.0.0.0/104', '10.0.0.7', '::ffff:10.0.0.7']) {
    expect([mayProbe('10.0.0.7', network(cidr)), mayProbe('::ffff:10.0.0.7', network(cidr)), mayProbe('::ffff:11.0.0.7', network(cidr))]).toEqual([true, true, false]);
  }
  const external = network(...readConfig({ REDIS_URL: 'redis://h', API_TOKENS: 'secret-token' }).healthCheckCidrs);
  for (const loopback of ['127.0.0.1', '127.9.9.9', '::1', '::ffff:127.0.0.1', '::127.0.0.1']) expect(mayProbe(loopback, external)).toBe(false);
  for (const own of ['10.1.2.3', '192.168.1.1', 'fd12::1']) expect(mayProbe(own, external)).toBe(true);
});

test('a page keeps its place when all in it fail', async () => {
  const { call } = gateway();
  const { port } = await listening();
  await register(call, 'a-closed', { ports: [await freePort()] });
  await register(call, 'b-open', { ports: [port] });
  expect(await check(call, '?healthCheck=true&limit=1')).toEqual({ ids: [], unchecked: '0', next: 'game:kr-1:a-closed' });
  expect(await check(call, '?healthCheck=true&limit=1&after=game:kr-1:a-closed')).toEqual({ ids: ['b-open'], unchecked: '0', next: undefined });
});

test('at most 500 are probed in one call', async () => {
  const { call } = gateway();
  expectProblem(await call.get('/instances?healthCheck=true&limit=501'), 400, 'invalid_request', '?limit');
  await call.get('/instances?healthCheck=true&limit=500').expect(200);
});
