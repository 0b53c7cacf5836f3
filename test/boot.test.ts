import { execFileSync } from 'node:child_process';
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { expect, inject, onTestFinished, test } from 'vitest';
import { boot, freshDir } from './helpers/boot.js';
import { freshPrefix } from './helpers/gateway.js';
import { freePort } from './helpers/ports.js';
import { startRedis } from './helpers/redis.js';
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

/** What it said on its way out: one line for people, no stack. */
async function refusal(env: Record<string, string>): Promise<string> {
  const process = boot(env);
  expect(await process.exited).toBe(1);
  expect(process.stderr()).not.toMatch(/\n\s+at /);
  return process.stderr().trim();
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
  expect(await refusal(external({ PORT: String(port) }))).toBe(`rollcall: port ${port} of 127.0.0.1 is in use: stop what listens there, or set PORT`);
});

test('a wrong password ends with one line that says what to correct', async () => {
  const redis = await startRedis();
  onTestFinished(() => redis.stop());
  const raw = new Redis(redis.url);
  await raw.config('SET', 'requirepass', 'the-right-one');
  raw.disconnect();
  const said = await refusal(external({ REDIS_URL: `redis://:wrong-one@127.0.0.1:${redis.port}` }));
  expect(said).toMatch(/^rollcall: Redis at 127.0.0.1:\d+ refused the login \(.+\): correct the user and password in REDIS_URL$/);
  expect(said).not.toContain('wrong-one');
});

test('an unreachable Redis ends with one line that says what to do', async () => {
  const port = await freePort();
  expect(await refusal(external({ REDIS_URL: `redis://127.0.0.1:${port}` }))).toMatch(
    new RegExp(`^rollcall: cannot reach Redis at 127.0.0.1:${port} \\(.*ECONNREFUSED.*\\): start it, or correct REDIS_URL$`),
  );
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
