import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { expect, inject, onTestFinished, test } from 'vitest';
import { createClient, join } from '../../src/client/index.js';
import { TOKEN } from '../helpers/gateway.js';
import { until } from '../helpers/until.js';
import { openClient } from './helpers.js';

const SERVER = fileURLToPath(new URL('busy-server.mjs', import.meta.url));

/** A server in a process of its own, that beats once a second and has a lease of 3 s. */
async function startServer(how: 'worker' | 'alone', mode: 'http' | 'redis' = 'http') {
  const { client, baseURL, prefix } = await openClient({}, {});
  const env = { ...process.env, ROLLCALL_URL: baseURL, ROLLCALL_TOKEN: TOKEN, MODE: mode, REDIS_URL: inject('redisUrl'), PREFIX: prefix };
  const child = spawn(process.execPath, [SERVER, how], { env, stdio: ['pipe', 'pipe', 'inherit'] });
  const exited = new Promise((resolve) => child.once('exit', resolve));
  onTestFinished(async () => {
    child.kill('SIGKILL');
    await exited;
  });
  const lines: string[] = [];
  createInterface({ input: child.stdout }).on('line', (line) => void lines.push(line));
  await until(() => lines.includes('state joined'));
  const found = () => client.get('busy-1', { strong: true });
  return { child, exited, lines, found, say: (line: string) => child.stdin.write(`${line}\n`) };
}

test.each(['http', 'redis'] as const)('with a thread that beats, a process that is busy for three leases stays registered, and says for how long: mode %s', async (mode) => {
  const { found, lines, say } = await startServer('worker', mode);
  await until(async () => (await found())?.lastHeartbeat !== (await found())?.registeredAt); // it has beaten once
  const before = lines.length;
  say('block 9000');
  const lags: unknown[] = [];
  while (!lines.includes('free')) {
    const now = await found();
    expect(now, 'it stays').toBeDefined();
    lags.push(now?.performance?.lagMs);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  expect(Math.max(...lags.map(Number))).toBeGreaterThan(6000);
  say('status error'); // it is heard again, and what it says is told
  await until(async () => (await found())?.status === 'error');
  expect(lines.slice(before), 'never unsure').toEqual(['free']);
  say('leave');
  await until(() => lines.includes('gone'));
  expect(await found()).toBeUndefined();
});

test('without, its lease ends, and it registers again when it comes round', async () => {
  const { found, lines, say } = await startServer('alone');
  say('block 5000');
  await until(async () => (await found()) === undefined);
  await until(() => lines.includes('registered again') || lines.includes('state joined'));
  await until(async () => (await found()) !== undefined);
});

test('killed with its thread, it is gone at the end of its lease', async () => {
  const { child, found } = await startServer('worker');
  child.kill('SIGKILL');
  await until(async () => (await found()) === undefined);
});

test('a process that ends by itself is not kept by the thread', async () => {
  const { child, exited, say, lines } = await startServer('worker');
  say('leave');
  await until(() => lines.includes('gone'));
  child.stdin.end();
  expect(await exited).toBe(0);
});

test('a thread cannot have the fetch that a client was given', () => {
  const client = createClient({ baseURL: 'http://127.0.0.1:9', fetch });
  expect(() => join({ type: 'game', worker: true }, client)).toThrow(/worker/);
});
