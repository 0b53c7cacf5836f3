import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { parse } from 'yaml';
import { TOKEN } from './helpers/gateway.js';
import { until } from './helpers/until.js';
import { openClient } from './client/helpers.js';

const read = (path: string) => readFileSync(resolve(path), 'utf8');

function start([command = '', ...args]: string[], env: Record<string, string>) {
  const child = spawn(command, args, { env: { PATH: process.env.PATH, ROLLCALL_TOKEN: TOKEN, ROLLCALL_HOME: resolve('.'), ...env }, stdio: 'ignore', detached: true });
  const ended = new Promise<number | null>((done) => child.once('close', done));
  onTestFinished(async () => {
    if (child.exitCode === null && child.signalCode === null) process.kill(-(child.pid as number), 'SIGKILL'); // what it started, too
    await ended;
  });
  return { child, ended };
}

/** A command line of a unit, as systemd would read it for instance 1 on machine `box`. */
function commandOf(unit: string, setting: string): string[] {
  const line = new RegExp(`^${setting}=-?(.*)$`, 'm').exec(unit)?.[1] ?? '';
  const replaced = line.replaceAll('%H', 'box').replaceAll('%i', '1').replace('/usr/bin/node', process.execPath).replace('/opt/rollcall/dist', resolve('dist'));
  return replaced.replace(/ -- .*/, ' -- sleep 1000').split(' ');
}

test('a game server under systemd is registered, and removed at once when all of it is killed', async () => {
  const unit = read('deploy/game-server@.service');
  const { client, baseURL } = await openClient();
  const { child, ended } = start(commandOf(unit, 'ExecStart'), { ROLLCALL_URL: baseURL });
  await until(async () => (await client.get('box-1', { strong: true }))?.ports[0]?.port === 7771);
  process.kill(-(child.pid as number), 'SIGKILL');
  await ended;
  expect(await client.get('box-1', { strong: true })).toBeDefined(); // its lease goes on
  expect(await start(commandOf(unit, 'ExecStopPost'), { ROLLCALL_URL: baseURL }).ended).toBe(0);
  expect(await client.get('box-1', { strong: true })).toBeUndefined();
  expect(unit).toMatch(/^ExecStopPost=-/m); // one that fails is no failure of the unit
  const [, drain = ''] = /--drain (\d+)/.exec(unit) ?? [];
  expect(Number(/^TimeoutStopSec=(\d+)/m.exec(unit)?.[1])).toBeGreaterThan(Number(drain) + 10);
});

test('deploy/boot.sh registers what it starts, says that it shuts down, and leaves', async () => {
  const { client, baseURL } = await openClient();
  const { child, ended } = start(['sh', resolve('deploy/boot.sh'), 'sleep', '1000'], { ROLLCALL_URL: baseURL, GAME_ID: 'boot-1', GAME_GROUP: 'kr-1', GAME_PORT: '7777', GAME_DRAIN_SECONDS: '1' });
  const look = () => client.get('boot-1', { strong: true });
  await until(async () => (await look())?.group === 'kr-1');
  child.kill('SIGTERM');
  await until(async () => (await look())?.status === 'shutting_down');
  await ended;
  expect(await look()).toBeUndefined();
});

test('deploy/boot.sh names what it has not been given', async () => {
  expect(await start(['sh', resolve('deploy/boot.sh'), 'true'], { ROLLCALL_URL: 'http://127.0.0.1:9' }).ended).not.toBe(0);
});

test('the sidecar registers a server once it listens, and removes it first', async () => {
  const { client, baseURL } = await openClient();
  const pod = (parse(read('deploy/kubernetes/sidecar.yaml')) as { spec: { template: { spec: { containers: { name: string; command: string[]; args: string[] }[] } } } }).spec.template.spec;
  const sidecar = pod.containers.find(({ name }) => name === 'rollcall');
  const { port } = new URL(baseURL);
  const script = (sidecar?.args[0] ?? '').replaceAll('9000', port).replace('node dist', `${process.execPath} ${resolve('dist')}`); // the gateway stands for the server
  const { child, ended } = start([...(sidecar?.command ?? []), script], { ROLLCALL_URL: baseURL, POD_NAME: 'coupon-5d-abc', POD_IP: '10.0.0.7' });
  await until(async () => (await client.get('coupon-5d-abc', { strong: true }))?.hostname === '10.0.0.7');
  child.kill('SIGTERM');
  await ended;
  expect(await client.get('coupon-5d-abc', { strong: true })).toBeUndefined();
});
