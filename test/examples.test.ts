import { spawn } from 'node:child_process';
import { connect } from 'node:net';
import { resolve } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { registration, TOKEN } from './helpers/gateway.js';
import { until } from './helpers/until.js';
import { openClient } from './client/helpers.js';

function start(command: string, args: string[], environment: Record<string, string>) {
  const child = spawn(command, args, { env: { PATH: process.env.PATH, ROLLCALL_TOKEN: TOKEN, ...environment }, stdio: ['ignore', 'pipe', 'pipe'] });
  const said = { out: '' };
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (said.out += chunk.toString()));
  const ended = new Promise<number | null>((done) => child.once('close', done));
  onTestFinished(async () => {
    child.kill('SIGKILL');
    await ended;
  });
  return { child, said, ended };
}

test.each([
  ['/usr/bin/python3', 'examples/loop.py'],
  ['bash', 'examples/loop.sh'],
])('%s %s registers, beats, registers again when it is unknown, and leaves', { timeout: 60_000 }, async (command, file) => {
  const { client, baseURL } = await openClient({ heartbeatIntervalMs: 1000 });
  const { child, said, ended } = start(command, [resolve(file), 'game', 'kr-1', '7777'], { ROLLCALL_URL: baseURL, INSTANCE_ID: 'looping' });
  const look = () => client.get('looping', { strong: true });
  const first = await until(look, 10_000);
  expect(first).toMatchObject({ type: 'game', group: 'kr-1', ports: [{ port: 7777 }] });
  await until(async () => (await look())?.lastHeartbeat !== first.lastHeartbeat, 10_000);
  await client.remove('looping');
  await until(async () => (await look())?.incarnation === first.incarnation, 10_000);
  child.kill('SIGTERM');
  await ended;
  expect(await look()).toBeUndefined();
  expect(said.out).toBe('registered looping\nregistered looping\nleft\n');
});

test.each([
  ['/usr/bin/python3', 'examples/loop.py'],
  ['bash', 'examples/loop.sh'],
])('%s %s stops when another process has its id', { timeout: 60_000 }, async (command, file) => {
  const { client, call, baseURL } = await openClient({ heartbeatIntervalMs: 1000 });
  const { said, ended } = start(command, [resolve(file), 'game', 'kr-1', '7777'], { ROLLCALL_URL: baseURL, INSTANCE_ID: 'looping' });
  await until(() => client.get('looping', { strong: true }), 10_000);
  await call.post('/instances').send(registration({ instanceId: 'looping', incarnation: 'another' })).expect(200);
  await ended;
  expect(said.out).toContain('superseded');
  expect(await client.get('looping', { strong: true })).toMatchObject({ incarnation: 'another' });
});

test('examples/game-server.ts registers, becomes ready, finds a chat server for a player, and drains', { timeout: 60_000 }, async () => {
  const { client, baseURL } = await openClient();
  await client.register({ type: 'chat', group: 'kr-1', hostname: 'chat.example.com', privateIp: '192.0.2.7', instanceId: 'chat-1', incarnation: 'life-1' });
  const { child, ended } = start(process.execPath, ['--import', 'tsx', resolve('examples/game-server.ts')], { ROLLCALL_URL: baseURL });
  const game = await until(async () => {
    const [ready] = await client.list({ type: 'game', status: 'ready' });
    return ready;
  }, 20_000);
  const heard = await new Promise<string>((done) => connect({ host: '127.0.0.1', port: game.ports[0]?.port ?? 0 }).once('data', (chunk: Buffer) => done(chunk.toString())));
  expect(heard).toBe('chat with chat-1 at 192.0.2.7\n');
  child.kill('SIGTERM');
  await until(async () => (await client.list({ type: 'game', status: 'shutting_down' })).length > 0);
  await ended;
  expect(await client.list({ type: 'game' }, { strong: true })).toEqual([]);
});

test('the gRPC example: calls go to every service, none fails while one drains, and the other has them then', { timeout: 60_000 }, async () => {
  const { client, baseURL } = await openClient();
  const run = (file: string) => start(process.execPath, ['--import', 'tsx', resolve('examples', file)], { ROLLCALL_URL: baseURL });
  const services = [run('coupon-service.ts'), run('coupon-service.ts')];
  const ids = (await until(async () => {
    const found = await client.list({ type: 'coupon' });
    return found.length === 2 && found.map(({ instanceId }) => instanceId);
  }, 20_000)) as string[];
  const { child, said, ended } = run('coupon-client.ts');
  await until(() => ids.every((id) => said.out.includes(`redeemed by ${id}`)), 20_000);
  services[0]?.child.kill('SIGTERM');
  expect(await services[0]?.ended).toBe(0);
  const [left] = await client.list({ type: 'coupon' }, { strong: true });
  const before = said.out.length;
  await until(() => said.out.slice(before).split(`redeemed by ${left?.instanceId}`).length > 3, 10_000);
  child.kill('SIGTERM');
  expect(await ended).toBe(0);
  expect(said.out).not.toContain('failed');
});

test('the NestJS example registers the application, chooses, and leaves when it is told to end', { timeout: 60_000 }, async () => {
  const { client, baseURL } = await openClient();
  await client.register({ type: 'chat', hostname: 'chat.example.com', instanceId: 'chat-1', incarnation: 'life-1' });
  const { child, said, ended } = start(process.execPath, ['--import', 'tsx', resolve('examples/nestjs.ts')], { ROLLCALL_URL: baseURL });
  await until(() => said.out.includes('chat with chat-1'), 20_000);
  await until(async () => (await client.list({ type: 'shop' })).length === 1);
  child.kill('SIGTERM');
  await ended;
  expect(await client.list({ type: 'shop' }, { strong: true })).toEqual([]);
});
