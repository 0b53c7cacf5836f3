import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join as pathOf } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { catalog, type CatalogOptions, type Client } from '../../src/client/index.js';
import { empty } from '../recovery/helpers/loss.js';
import { buildGateway } from '../helpers/gateway.js';
import { freePort } from '../helpers/ports.js';
import { openGate } from '../helpers/redis-gate.js';
import { until } from '../helpers/until.js';
import { addressOf, clientOf, keptLog, openClient } from './helpers.js';

const open = (options: CatalogOptions, client: Client) => {
  const opened = catalog(options, client);
  onTestFinished(() => opened.close());
  return opened;
};
const register = (client: Client, instanceId: string, more: object = {}) => client.register({ type: 'chat', hostname: `${instanceId}.example.com`, instanceId, incarnation: 'life-1', ...more });
const idsOf = ({ instances }: ReturnType<typeof catalog>) => instances.map(({ instanceId }) => instanceId).sort();
/** Who is chosen in so many picks. */
const picked = (from: ReturnType<typeof catalog>, picks = 50) => [...new Set(Array.from({ length: picks }, () => from.pick()?.instanceId))].sort();

test('it follows who comes, changes and goes, and each change of the number is one line', async () => {
  const { lines, log } = keptLog();
  const { client } = await openClient({}, { log });
  const chat = open({ type: 'chat' }, client);
  await chat.ready;
  expect([chat.pick(), chat.instances, chat.live]).toEqual([undefined, [], true]);
  await register(client, 'a');
  await register(client, 'b');
  await client.register({ type: 'game', hostname: 'h' });
  await until(() => chat.instances.length === 2);
  await client.updateStatus('b', 'error');
  await until(() => chat.get('b')?.status === 'error');
  await client.remove('a');
  await until(() => idsOf(chat).join() === 'b');
  expect(lines).toEqual(['1 instances', '2 instances', '1 instances']);
});

test('who is not ready, cordoned, unhealthy or suspect is not chosen', async () => {
  const { client } = await openClient();
  for (const id of ['a', 'b', 'c', 'd']) await register(client, id);
  const chat = open({ type: 'chat' }, client);
  await until(() => chat.instances.length === 4);
  await client.updateStatus('b', 'shutting_down');
  await client.patch('c', { cordoned: true });
  await until(() => chat.get('b')?.status === 'shutting_down' && chat.get('c')?.cordoned === true);
  expect(picked(chat)).toEqual(['a', 'd']);
  expect(chat.pick({ not: ['a', 'd'] })).toBeUndefined();
});

test('the same zone comes first, then the group, then the others named, in their order', async () => {
  const { client } = await openClient();
  await register(client, 'near', { group: 'kr-1', labels: { zone: 'a' } });
  await register(client, 'far', { group: 'kr-1', labels: { zone: 'b' } });
  await register(client, 'second', { group: 'kr-2' });
  await register(client, 'stranger', { group: 'us-1' });
  const chat = open({ type: 'chat', group: 'kr-1', zone: 'a', fallbackGroups: ['kr-2'] }, client);
  await until(() => chat.instances.length === 3);
  expect(picked(chat)).toEqual(['near']);
  await client.remove('near');
  await until(() => picked(chat).join() === 'far');
  await client.remove('far');
  await until(() => picked(chat).join() === 'second');
  await client.remove('second');
  await until(() => chat.pick() === undefined);
});

test('one that could not be reached is chosen again after a sign of life, and before that only when there is nobody else', async () => {
  const { client } = await openClient();
  await register(client, 'a');
  await register(client, 'b');
  const chat = open({ type: 'chat' }, client);
  await until(() => chat.instances.length === 2);
  const a = chat.get('a');
  if (a) chat.report(a);
  expect(picked(chat)).toEqual(['b']);
  expect(chat.pick({ not: ['b'] })?.instanceId).toBe('a');
  await new Promise((passed) => setTimeout(passed, 2500)); // it is asked for, and has not beaten since
  expect(picked(chat)).toEqual(['b']);
  await client.heartbeat('a');
  await until(() => picked(chat).length === 2);
});

test('when a gateway goes it goes on at another, and misses nothing', async () => {
  const one = await buildGateway({ fromMemory: true });
  const second = await buildGateway({ fromMemory: true, prefix: one.prefix });
  const gate = await openGate(Number(new URL(addressOf(one.app)).port));
  onTestFinished(gate.close);
  const client = clientOf({ baseURL: [`http://127.0.0.1:${gate.port}`, addressOf(second.app)], timeoutMs: 2000 });
  await register(client, 'a');
  const chat = open({ type: 'chat' }, client);
  await chat.ready;
  gate.cut();
  await register(client, 'b');
  await client.remove('a');
  await until(() => idsOf(chat).join() === 'b');
});

test('it is live again when a gateway is back, though nothing has changed meanwhile', async () => {
  const { client, baseURL } = await openClient();
  await register(client, 'a');
  const gate = await openGate(Number(new URL(baseURL).port));
  onTestFinished(gate.close);
  const chat = open({ type: 'chat' }, clientOf({ baseURL: `http://127.0.0.1:${gate.port}`, timeoutMs: 300 }));
  await until(() => chat.live && chat.instances.length === 1);
  gate.cut();
  await until(() => !chat.live);
  gate.mend();
  await until(() => chat.live, 10_000);
});

test('while no gateway answers the last list stays, also for a process that starts then', async () => {
  const folder = mkdtempSync(pathOf(tmpdir(), 'rollcall-catalog-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const file = pathOf(folder, 'chat.json');
  const { client, baseURL } = await openClient();
  await register(client, 'a');
  const gate = await openGate(Number(new URL(baseURL).port));
  onTestFinished(gate.close);
  const chat = open({ type: 'chat', file }, clientOf({ baseURL: `http://127.0.0.1:${gate.port}`, timeoutMs: 300 }));
  await chat.ready;
  await until(() => readFileSync(file, 'utf8').includes('"a"'));
  gate.cut();
  await until(() => !chat.live);
  expect(chat.pick()?.instanceId).toBe('a');
  const later = open({ type: 'chat', file }, clientOf({ baseURL: `http://127.0.0.1:${await freePort()}`, timeoutMs: 300 }));
  await later.ready;
  expect([later.live, later.pick()?.instanceId]).toEqual([false, 'a']);
});

test('a file that cannot be read is told of once, and does no harm', async () => {
  const folder = mkdtempSync(pathOf(tmpdir(), 'rollcall-catalog-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const file = pathOf(folder, 'chat.json');
  writeFileSync(file, '{"half":');
  const { lines, log } = keptLog();
  const { client } = await openClient({}, { log });
  await register(client, 'a');
  const chat = open({ type: 'chat', file }, client);
  await chat.ready;
  expect(idsOf(chat)).toEqual(['a']);
  expect(lines.filter((line) => line.includes('file'))).toEqual(['the last list cannot be kept in this file']);
});

test('a list that a registry lost with its data stays until that says that servers are no longer coming back', async () => {
  let looks = 0;
  let connections = 0;
  const frame = (event: string, data: object) => `event: ${event}\nid: e.${connections}\ndata: ${JSON.stringify(data)}\n\n`;
  const server = createServer((request, response) => {
    if (request.url?.includes('/watch')) {
      connections++;
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      if (connections === 1) return void response.end(frame('snapshot', { instances: [{ instanceId: 'a', type: 'chat', group: 'g', status: 'ready', labels: {} }], revision: 'e.1' }));
      return void response.write(frame('reset', { reason: 'another epoch' }) + frame('snapshot', { instances: [], revision: 'f.1' }));
    }
    response.writeHead(200, looks++ < 2 ? { 'x-recovering': '5' } : {}).end('{"instances":[]}');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  const chat = open({ type: 'chat' }, clientOf({ baseURL: `http://127.0.0.1:${(server.address() as { port: number }).port}` }));
  await until(() => looks === 2);
  expect(idsOf(chat)).toEqual(['a']);
  await until(() => chat.instances.length === 0);
  expect(looks).toBe(3);
});

test('those whom a registry has lost stay until it says that nothing is lacking any more', async () => {
  const { client, raw, keys, view, prefix } = await openClient();
  for (const id of ['a', 'b']) await register(client, id);
  const chat = open({ type: 'chat' }, client);
  await until(() => chat.instances.length === 2);
  let fewest = Infinity;
  chat.on('change', ({ instances }) => (fewest = Math.min(fewest, instances)));
  await empty(raw, keys);
  await until(() => view.staleMs === undefined && chat.live);
  const another = await buildGateway({ fromMemory: true, prefix });
  await until(async () => (await clientOf({ baseURL: addressOf(another.app) }).list({ type: 'chat' })).length === 2);
  expect([idsOf(chat), fewest >= 2]).toEqual([['a', 'b'], true]);
});
