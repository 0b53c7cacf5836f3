import { spawn } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, onTestFinished, test } from 'vitest';
import { openClient } from '../client/helpers.js';
import { freshDir } from '../helpers/boot.js';
import { connect } from '../../src/cli/connect.js';
import { table } from '../../src/cli/print.js';
import { TOKEN } from '../helpers/gateway.js';
import { freePort } from '../helpers/ports.js';
import { until } from '../helpers/until.js';

const CLI = fileURLToPath(new URL('../../dist/rollcall.js', import.meta.url));

/** The command as somebody types it, with nothing of this environment but PATH. */
function start(args: string[], environment: Record<string, string> = {}, cwd = freshDir()) {
  const child = spawn(process.execPath, [CLI, ...args], { cwd, env: { PATH: process.env.PATH, ...environment }, stdio: ['ignore', 'pipe', 'pipe'] });
  const said = { out: '', err: '' };
  child.stdout.on('data', (chunk: Buffer) => (said.out += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (said.err += chunk.toString()));
  const ended = new Promise<number | null>((resolve) => child.once('close', resolve));
  onTestFinished(async () => {
    child.kill('SIGKILL');
    await ended;
  });
  return { child, said, ended };
}

async function open() {
  const gateway = await openClient();
  const environment = { ROLLCALL_URL: gateway.baseURL, ROLLCALL_TOKEN: TOKEN };
  const rollcall = async (...args: string[]) => {
    const { said, ended } = start(args, environment);
    return { code: await ended, ...said };
  };
  return { ...gateway, environment, rollcall };
}

test('what is registered by hand is listed, looked at, changed and removed', { timeout: 60_000 }, async () => {
  const { rollcall } = await open();
  const registered = await rollcall('register', '--type', 'game', '--group', 'kr-1', '--id', 'game-1', '--port', 'game:7777/udp', '--port', '8080', '--label', 'zone=a', '--hostname', 'h');
  expect(registered).toMatchObject({ code: 0, err: '' });
  expect(JSON.parse(registered.out)).toMatchObject({ instanceId: 'game-1', ttlSeconds: 30 });
  expect((await rollcall('list')).out).toMatch(/^INSTANCE {2}TYPE {2}GROUP {2}STATUS {2}ADDRESS {4}PORTS {15}BEAT {2}STATE\ngame-1 {4}game {2}kr-1 {3}ready {3}127\.0\.0\.1 {2}game:7777\/udp,8080 {2}\ds\n$/);
  expect(JSON.parse((await rollcall('list', '--label', 'zone=a', '--json')).out)).toMatchObject([{ instanceId: 'game-1', ports: [{ port: 7777, protocol: 'udp' }, { port: 8080, protocol: 'tcp' }] }]);
  expect((await rollcall('list', '--label', 'zone=b', '--json')).out).toBe('[]\n');
  expect((await rollcall('status', 'game-1', 'error', 'disk full')).out).toBe('game-1 is error: disk full\n');
  expect((await rollcall('cordon', 'game-1')).out).toContain('game-1 is cordoned');
  expect(JSON.parse((await rollcall('get', 'game-1')).out)).toMatchObject({ status: 'error', customState: 'disk full', cordoned: true });
  expect((await rollcall('cordon', 'game-1', '--off')).out).toContain('no longer cordoned');
  expect((await rollcall('heartbeat', 'game-1')).out).toContain('nextHeartbeatMs');
  expect(await rollcall('remove', 'game-1')).toMatchObject({ code: 0, out: 'game-1 is removed\n' });
  expect(await rollcall('evict', 'game', 'kr-1')).toMatchObject({ code: 0, out: 'game/kr-1 was not held\n' });
});

test('each way to fail has its exit code, and one line that says why', { timeout: 60_000 }, async () => {
  const { rollcall, baseURL } = await open();
  expect(await rollcall('get', 'nobody')).toMatchObject({ code: 4, err: "rollcall: no live instance 'nobody'\n" });
  expect(await rollcall('remove', 'nobody')).toMatchObject({ code: 4, err: "rollcall: no instance 'nobody'\n" });
  expect(await rollcall('list', '--bogus')).toMatchObject({ code: 2, err: "error: unknown option '--bogus'\n" });
  expect((await rollcall('register', '--type', 'game', '--port', '70000')).err).toContain('write 7777, game:7777 or game:7777/udp');
  expect(await rollcall('register', '--type', '-bad')).toMatchObject({ code: 1, err: expect.stringContaining('/type') as string });
  expect(await rollcall('--url', `http://127.0.0.1:${await freePort()}`, 'get', 'x')).toMatchObject({ code: 3, err: expect.stringContaining('is the gateway running there?') as string });
  const { said, ended } = start(['list'], { ROLLCALL_URL: baseURL, ROLLCALL_TOKEN: 'wrong' });
  expect([await ended, said.err.split('\n')]).toEqual([1, [expect.stringContaining('token') as string, '']]);
});

test('a token comes from a file, or from where npm start keeps it, and is never an argument', async () => {
  const { baseURL } = await open();
  const dir = freshDir();
  writeFileSync(join(dir, 'token'), `${TOKEN}\n`);
  const { said, ended } = start(['--token-file', 'token', 'list', '--json'], { ROLLCALL_URL: baseURL }, dir);
  expect([await ended, said.out]).toEqual([0, '[]\n']);
  expect((await start(['--help']).ended)).toBe(0);
});

test('health has a row for each gateway, and its code says whether all are ready', async () => {
  const { environment } = await open();
  const away = `http://127.0.0.1:${await freePort()}`;
  const one = start(['health'], environment);
  expect([await one.ended, one.said.out.split('\n')[1]]).toEqual([0, expect.stringMatching(/yes {4}- {6}\d+ms/) as string]);
  const both = start(['--url', `${environment.ROLLCALL_URL},${away}`, 'health', '--json'], environment);
  expect(await both.ended).toBe(1);
  expect(JSON.parse(both.said.out)).toMatchObject([{ ready: true, version: '0.1.0' }, { gateway: away, ready: false }]);
});

test('watch tells each change in a line, until it is interrupted', async () => {
  const { environment, client } = await open();
  const { child, said, ended } = start(['watch', '--type', 'game'], environment);
  await client.register({ type: 'game', hostname: 'h', instanceId: 'before', incarnation: 'life-1' });
  await until(() => said.out.includes('before'), 10_000);
  await client.updateStatus('before', 'error');
  await client.remove('before');
  await until(() => said.out.includes('removed'));
  expect(said.out.trim().split('\n').slice(-2)).toEqual([expect.stringMatching(/updated {2}game\/default\/before/) as string, expect.stringMatching(/removed {2}game\/default\/before {2}deregister by /) as string]);
  child.kill('SIGINT');
  expect(await ended).toBe(0);
});

test('a program is registered while it runs; when it dies it is removed at once, with the cause, and its code is ours', async () => {
  const { environment, client } = await open();
  const { said, ended } = start(['run', '--type', 'game', '--ttl', '10', '--', 'sh', '-c', 'echo "I am $ROLLCALL_INSTANCE_ID"; sleep 1; exit 7'], environment);
  await until(async () => (await client.list({ type: 'game' })).length === 1, 10_000);
  const [{ instanceId } = { instanceId: '' }] = await client.list({ type: 'game' });
  expect(await ended).toBe(7);
  expect(said.out).toBe(`I am ${instanceId}\n`);
  expect(await client.list({ type: 'game' }, { strong: true })).toEqual([]);
  const { events } = await client.history({ instanceId, limit: 1 });
  expect(events[0]).toMatchObject({ kind: 'removed', instance: { status: 'error', customState: 'exited with 7' } });
});

test('a signal is said first, passed on after the drain, and waited for', async () => {
  const { environment, client } = await open();
  const { child, said, ended } = start(['run', '--type', 'game', '--drain', '1', '--', 'sh', '-c', `trap 'echo got it; exit 0' TERM; while :; do sleep 0.1; done`], environment);
  await until(async () => (await client.list({ type: 'game' })).length === 1, 10_000);
  child.kill('SIGTERM');
  const from = performance.now();
  await until(async () => (await client.list({ type: 'game', status: 'shutting_down' })).length === 1);
  expect(said.out).toBe('');
  expect(await ended).toBe(0);
  expect(performance.now() - from).toBeGreaterThan(700);
  expect(said.out).toBe('got it\n');
  expect(await client.list({ type: 'game' }, { strong: true })).toEqual([]);
});

test('a program runs while it holds a lock, is told its token, and one that comes meanwhile waits or is refused', async () => {
  const { environment, client } = await open();
  const held = start(['lock', 'nightly', '--', 'sh', '-c', 'echo "token $ROLLCALL_FENCING_TOKEN"; sleep 2; exit 3'], environment);
  await until(() => held.said.out.startsWith('token '), 10_000);
  const refused = start(['lock', 'nightly', '--', 'true'], environment);
  const waiting = start(['lock', 'nightly', '--wait', '10', '--', 'sh', '-c', 'echo mine'], environment);
  expect([await refused.ended, refused.said.err]).toEqual([1, expect.stringMatching(/the lock 'nightly' is held by/) as string]);
  expect(await held.ended).toBe(3);
  expect([await waiting.ended, waiting.said.out]).toEqual([0, 'mine\n']);
  expect(await client.backend.locks.look('nightly')).toEqual({ held: false, waiting: 0 });
});

test('a program that cannot be run is told of, with the code of a shell', async () => {
  const { environment } = await open();
  const { said, ended } = start(['run', '--type', 'game', '--', '/no/such/program'], environment);
  expect(await ended).toBe(127);
  expect(said.err).toContain("cannot run '/no/such/program'");
});

test('a list that is kept up to date shows who comes, as JSON where there is no terminal', async () => {
  const { environment, client } = await open();
  const { said } = start(['list', '--type', 'game', '--watch', '--json'], environment);
  await client.register({ type: 'game', hostname: 'h', instanceId: 'a', incarnation: 'life-1' });
  await until(() => said.out.trim().split('\n').at(-1)?.includes('"a"'), 10_000);
});

test('a list that is kept up to date shows whom it was asked for, of all types too', async () => {
  const { environment, client } = await open();
  const { said } = start(['list', '--watch', '--label', 'zone=a'], environment);
  await client.register({ type: 'game', hostname: 'h', instanceId: 'far', incarnation: 'life-1', labels: { zone: 'b' } });
  await client.register({ type: 'chat', hostname: 'h', instanceId: 'near', incarnation: 'life-1', labels: { zone: 'a' } });
  await until(() => said.out.trim().split('\n').at(-1)?.includes('near'), 10_000);
  expect(said.out).not.toContain('far');
});

test('the token of this folder is for a gateway of this machine, and a file that is named goes before the environment', () => {
  const dir = freshDir();
  const here = process.cwd();
  mkdirSync(join(dir, '.rollcall'));
  writeFileSync(join(dir, '.rollcall', 'token'), 'of-this-folder\n');
  writeFileSync(join(dir, 'named'), 'of-the-file\n');
  process.chdir(dir);
  try {
    const token = (options: object, environment = {}) => connect(options, environment).settings.apiToken;
    expect([token({}), token({ url: 'http://localhost:8080' }), token({ url: 'https://rollcall.example.com' })]).toEqual(['of-this-folder', 'of-this-folder', undefined]);
    expect([token({}, { ROLLCALL_TOKEN: 'given' }), token({ tokenFile: 'named' }, { ROLLCALL_TOKEN: 'given' })]).toEqual(['given', 'of-the-file']);
  } finally {
    process.chdir(here);
  }
});

test('what others chose to be called cannot move the cursor', () => {
  expect(table([['NAME', 'STATE'], ['\x1b[2Jgone', 'a\u202eb\nc']], true)).not.toMatch(/\x1b\[2J|\u202e|b\nc/);
});

test('completion, version and help are there', async () => {
  const { rollcall } = await open();
  expect((await rollcall('completion', 'bash')).out).toContain("list) words='--type --group");
  expect(await rollcall('completion', 'fish')).toMatchObject({ code: 2 });
  expect((await rollcall('--version')).out).toBe('0.1.0\n');
});
