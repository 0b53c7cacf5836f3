import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { createServer as createHttpServer } from 'node:http';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { expect, inject, onTestFinished, test } from 'vitest';
import { version } from '../src/http/version.js';
import { VARIABLES } from '../src/variables.js';
import { boot, freshDir } from './helpers/boot.js';
import { freshPrefix } from './helpers/gateway.js';
import { freePort } from './helpers/ports.js';
import { startRedis } from './helpers/redis.js';
import { ROOT } from './helpers/replicas.js';
import { until } from './helpers/until.js';

const external = (env: Record<string, string> = {}) => ({
  REDIS_URL: inject('redisUrl'), REDIS_PREFIX: freshPrefix(), API_TOKENS: 'a-token-of-this-test', HOST: '127.0.0.1', ...env,
});

async function occupied(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(0, '127.0.0.1', resolve));
  onTestFinished(() => new Promise<void>((resolve) => server.close(() => resolve())));
  return (server.address() as AddressInfo).port;
}

/** What it said on its way out: one line of the log, nothing on the other stream, no stack. */
async function refusal(env: Record<string, string>): Promise<string> {
  const process = boot(env);
  expect(await process.exited).toBe(1);
  expect(process.stderr()).toBe('');
  const last = JSON.parse(process.stdout().trim().split('\n').at(-1) ?? '') as { level: string; msg: string };
  expect(last).toMatchObject({ level: 'fatal', time: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/) });
  expect(process.stdout()).not.toMatch(/\\n\s+at /);
  return last.msg;
}

test('wrong configuration ends the process with every bad variable in one message', async () => {
  const said = await refusal({ PORT: 'x', LOG_LEVEL: 'loud', SWEEP_INTERVAL_MS: '1', REDIS_URL: 'nonsense' });
  expect(said.split('\n')[0]).toBe('wrong configuration:');
  for (const name of ['PORT', 'LOG_LEVEL', 'SWEEP_INTERVAL_MS', 'REDIS_URL']) expect(said).toMatch(new RegExp(`^  ${name} `, 'm'));
});

test('production without REDIS_URL ends with the line that mends it', async () => {
  expect(await refusal({ NODE_ENV: 'production' })).toBe('wrong configuration:\n  REDIS_URL is needed in production: set REDIS_URL=redis://host:port');
});

test('a port in use ends with one line that says so', async () => {
  const port = await occupied();
  expect(await refusal(external({ PORT: String(port) }))).toBe(`port ${port} of 127.0.0.1 is in use: stop what listens there, or set PORT`);
});

test('a wrong password ends with one line that says what to correct', async () => {
  const redis = await startRedis();
  onTestFinished(() => redis.stop());
  const raw = new Redis(redis.url);
  await raw.config('SET', 'requirepass', 'the-right-one');
  raw.disconnect();
  const said = await refusal(external({ REDIS_URL: `redis://:wrong-one@127.0.0.1:${redis.port}` }));
  expect(said).toMatch(/^Redis at 127.0.0.1:\d+ refused the login \(.+\): correct the user and password in REDIS_URL$/);
  expect(said).not.toContain('wrong-one');
});

test('a database that Redis does not have ends with one line, and nothing is written to another', async () => {
  const redis = await startRedis(['--databases', '4']);
  onTestFinished(() => redis.stop());
  const said = await refusal(external({ REDIS_URL: `${redis.url}/4` }));
  expect(said).toMatch(/^Redis at 127.0.0.1:\d+\/4 does not have the database that REDIS_URL names \(ERR DB index is out of range\): correct the number/);
  const raw = new Redis(redis.url);
  expect(await raw.dbsize()).toBe(0);
  raw.disconnect();
});

test('a port that does not speak the protocol of Redis ends with one line that says so', async () => {
  const server = createHttpServer((_request, response) => response.end('hello'));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => void server.close());
  const { port } = server.address() as AddressInfo;
  expect(await refusal(external({ REDIS_URL: `redis://127.0.0.1:${port}` }))).toBe(`127.0.0.1:${port} does not speak Redis' protocol: correct host and port in REDIS_URL`);
});

test('a Redis that is late is waited for: alive, not ready and why, one line, and then it starts', { timeout: 80_000 }, async () => {
  const [port, redisPort] = [await freePort(), await freePort()];
  const started = boot(external({ PORT: String(port), REDIS_URL: `redis://127.0.0.1:${redisPort}/2`, REDIS_PREFIX: 'late:' }));
  const ask = async (path: string) => {
    const answer = await fetch(`http://127.0.0.1:${port}${path}`, { headers: { 'x-api-token': 'a-token-of-this-test' } });
    return { status: answer.status, body: (await answer.json()) as Record<string, string> };
  };
  await until(() => started.stdout().includes('waiting for redis'), 40_000);
  expect(await ask('/livez')).toMatchObject({ status: 200, body: { status: 'alive', name: 'rollcall' } });
  expect(await ask('/readyz')).toMatchObject({ status: 503, body: { code: 'store_unavailable', detail: 'this replica waits for Redis, which does not answer yet (ECONNREFUSED)' } });
  expect(await ask('/sd/v1/instances')).toMatchObject({ status: 503, body: { code: 'store_unavailable' } });

  const redis = await startRedis([], {}, redisPort);
  onTestFinished(() => redis.stop());
  await until(async () => (await ask('/readyz')).status === 200, 30_000);
  const lines = started.stdout().trim().split('\n').map((line) => JSON.parse(line) as Record<string, unknown>);
  expect(lines.filter(({ msg }) => msg === 'waiting for redis: not ready until it answers')).toHaveLength(1);
  expect(lines.find(({ msg }) => msg === 'started')).toMatchObject({ version, database: 2, prefix: 'late:', redis: `127.0.0.1:${redisPort}/2`, engine: 'external' });
  started.signal('SIGTERM');
  expect(await started.exited).toBe(0);
});

test.each([
  ['redis', '', 'ECONNREFUSED'],
  ['redis+sentinel', '/primary', 'SENTINELS_UNREACHABLE'],
])('one that is stopped while it waits for Redis ends at once: %s', { timeout: 60_000 }, async (scheme, path, code) => {
  const started = boot(external({ PORT: '0', REDIS_URL: `${scheme}://127.0.0.1:${await freePort()}${path}` }));
  await until(() => started.stdout().includes('waiting for redis'), 40_000);
  const waiting = started.stdout().split('\n').find((line) => line.includes('waiting for redis')) ?? '';
  expect((JSON.parse(waiting) as { err: object }).err).toMatchObject({ code, message: expect.not.stringMatching(/Retrying/) as string });
  started.signal('SIGTERM');
  expect(await started.exited).toBe(0);
  expect(started.stdout()).toContain('stopped');
});

test('--help names every variable, --version the version, and anything else is refused', { timeout: 60_000 }, async () => {
  const run = async (...args: string[]) => {
    const process = boot({}, freshDir(), args);
    return { code: await process.exited, stdout: process.stdout(), stderr: process.stderr() };
  };
  const [help, asked, wrong] = await Promise.all([run('--help'), run('--version'), run('--port=1')]);
  expect(help).toMatchObject({ code: 0, stderr: '' });
  for (const { name } of VARIABLES) expect(help.stdout).toMatch(new RegExp(`^  ${name}\\b`, 'm'));
  expect(asked).toEqual({ code: 0, stdout: `${version}\n`, stderr: '' });
  expect(wrong).toMatchObject({ code: 2, stdout: '', stderr: expect.stringContaining("unknown argument '--port=1'") });
});

const AN_OLD_NODE = "Object.defineProperty(process.versions, 'node', { value: '18.20.4' })";

test.each(['dist/server.js', 'dist/rollcall.js', 'scripts/start.mjs'])('%s on a Node.js that is too old says so in one line', (script) => {
  const preload = join(freshDir(), 'old.cjs');
  writeFileSync(preload, AN_OLD_NODE);
  const { status, stderr } = spawnSync(process.execPath, ['--require', preload, join(ROOT, script)], { encoding: 'utf8' });
  expect(status).toBe(1);
  expect(stderr).toMatch(/^Rollcall needs Node.js 20.19 or newer, and this is v[\d.]+: .*\n$/);
});

test('a variable that looks like a slip of the pen is named', { timeout: 60_000 }, async () => {
  const started = boot({ PORT: '0', REDIS_URI: 'redis://somewhere', API_TOKEN: 'x', HOME: '/tmp', REDIS_PORT: '6379' });
  await until(() => ADDRESS.exec(started.stdout()), 40_000);
  const lines = started.stdout().split('\n').filter((line) => line.startsWith('{')).map((line) => JSON.parse(line) as Record<string, unknown>);
  const found = lines.filter(({ msg }) => String(msg).startsWith('a variable that is none of ours'));
  expect(found.map(({ variable, meant }) => `${String(variable)} ${String(meant)}`).sort()).toEqual(['API_TOKEN API_TOKENS', 'REDIS_URI REDIS_URL']);
});

const ADDRESS = /Rollcall listens on (http:\/\/127\.0\.0\.1:\d+)/;
const tokenOf = (text: string) => /token +(\S+)/.exec(text)?.[1] ?? '';

test('the embedded mode prints an address, a token kept for this checkout, and lines to paste that work', { timeout: 30_000 }, async () => {
  const first = boot({ PORT: String(await freePort()), LOG_LEVEL: 'silent' });
  const url = await until(() => ADDRESS.exec(first.stdout())?.[1]);
  const token = tokenOf(first.stdout());
  expect(token).toMatch(/^[\w-]{32}$/);
  expect(first.stdout()).toContain(`Swagger UI  ${url}/docs`);
  const file = join(first.dir, '.rollcall/token');
  expect(readFileSync(file, 'utf8').trim()).toBe(token);
  expect(statSync(file).mode & 0o777).toBe(0o600);

  const lines = first.stdout().split('\n').map((line) => line.trim()).filter((line) => line.startsWith('curl '));
  const [registered, listed] = lines.map((line) => JSON.parse(execFileSync('sh', ['-c', line], { encoding: 'utf8' })) as Record<string, unknown>);
  expect(registered).toMatchObject({ instanceId: expect.stringMatching(/^[0-9A-Z]{26}$/), ttlSeconds: 30 });
  expect(listed).toMatchObject({ instances: [{ instanceId: registered?.instanceId, hostname: 'game-1.example.com' }] });

  first.signal('SIGTERM');
  expect(await first.exited).toBe(0);
  const second = boot({ PORT: String(await freePort()) }, first.dir);
  await until(() => ADDRESS.exec(second.stdout()));
  expect(tokenOf(second.stdout())).toBe(token);
});

test('a second one in the same folder says that the first knows nothing of it, and one that is over is not named', { timeout: 60_000 }, async () => {
  const first = boot({ PORT: String(await freePort()), LOG_LEVEL: 'silent' });
  const url = await until(() => ADDRESS.exec(first.stdout())?.[1]);
  expect(first.stdout()).not.toContain('another one runs');
  const second = boot({ PORT: String(await freePort()), LOG_LEVEL: 'silent' }, first.dir);
  await until(() => ADDRESS.exec(second.stdout()));
  expect(second.stdout()).toContain(`another one runs in this folder, on ${url}: this one knows nothing of its servers`);

  for (const one of [first, second]) one.signal('SIGTERM');
  await Promise.all([first.exited, second.exited]);
  const third = boot({ PORT: String(await freePort()), LOG_LEVEL: 'silent' }, first.dir);
  await until(() => ADDRESS.exec(third.stdout()));
  expect(third.stdout()).not.toContain('another one runs');
});

test('a kept token that is not usable is replaced, and its file is again for its owner alone', async () => {
  const dir = freshDir();
  execFileSync('mkdir', [join(dir, '.rollcall')]);
  writeFileSync(join(dir, '.rollcall/token'), 'short\n', { mode: 0o644 });
  const process = boot({ PORT: String(await freePort()), LOG_LEVEL: 'silent' }, dir);
  await until(() => ADDRESS.exec(process.stdout()));
  expect(tokenOf(process.stdout())).toMatch(/^[\w-]{32}$/);
  expect(statSync(join(dir, '.rollcall/token')).mode & 0o777).toBe(0o600);
});

test('the embedded mode with tokens of its own mints none', async () => {
  const process = boot({ PORT: String(await freePort()), API_TOKENS: 'mine-and-secret', LOG_LEVEL: 'silent' });
  await until(() => ADDRESS.exec(process.stdout()));
  expect(process.stdout()).toContain('as configured');
  expect(process.stdout()).not.toContain('mine-and-secret');
});

test('two embedded gateways started side by side take different ports', { timeout: 30_000 }, async () => {
  const processes = [boot({ LOG_LEVEL: 'silent' }), boot({ LOG_LEVEL: 'silent' })];
  const urls = await Promise.all(processes.map(({ stdout }) => until(() => ADDRESS.exec(stdout())?.[1])));
  expect(new Set(urls).size).toBe(2);
  for (const url of urls) expect((await fetch(`${url}/livez`)).status).toBe(200);
});

test('an embedded gateway whose engine ends says so and stops, instead of staying without a registry', { timeout: 30_000 }, async () => {
  const started = boot();
  const port = await until(() => /in memory, 127\.0\.0\.1:(\d+)\)/.exec(started.stdout())?.[1], 15_000);
  const redis = new Redis({ host: '127.0.0.1', port: Number(port), retryStrategy: () => null });
  redis.on('error', () => undefined);
  await redis.call('SHUTDOWN', 'NOSAVE').catch(() => undefined);
  await started.exited;
  expect(started.stdout()).toContain('the embedded engine ended');
});
