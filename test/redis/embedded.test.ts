import { spawn } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { Redis } from 'ioredis';
import { expect, onTestFinished, test, vi } from 'vitest';
import { startJobs } from '../../src/jobs/jobs.js';
import { createConnection } from '../../src/redis/connect/connection.js';
import { startEmbedded, type Embedded } from '../../src/redis/connect/embedded.js';
import { jobsPrefix } from '../../src/redis/scripts/keys.js';
import { freshDir } from '../helpers/boot.js';
import { silent } from '../helpers/gateway.js';
import { exercise, openSmoke } from '../helpers/smoke.js';
import { until } from '../helpers/until.js';

const portOf = ({ target }: Embedded) => target.nodes[0]?.port as number;

async function answers(port: number): Promise<boolean> {
  const redis = new Redis({ port, lazyConnect: true, retryStrategy: () => null, maxRetriesPerRequest: 0 });
  redis.on('error', () => undefined);
  return redis.ping().then(() => true, () => false).finally(() => redis.disconnect());
}

test.each([
  { engines: undefined, engine: 'redis-server', plainLua: false },
  { engines: [], engine: 'js-redis-server', plainLua: true },
])('the embedded $engine does everything, jobs included, on loopback only, and is gone when closed', async ({ engines, engine, plainLua }) => {
  const embedded = await startEmbedded(engines);
  onTestFinished(() => embedded.close());
  expect(embedded).toMatchObject({ engine, plainLua, target: { nodes: [{ host: '127.0.0.1' }] } });
  const raw = new Redis({ port: portOf(embedded) });
  raw.on('error', () => undefined);
  onTestFinished(() => raw.disconnect());

  const smoke = await openSmoke(embedded, 'service:', plainLua);
  await exercise(smoke, raw);
  let ticks = 0;
  const jobs = startJobs({
    tickedAgoMs: () => undefined,
    connection: createConnection('jobs', embedded, silent), prefix: jobsPrefix('service:'), everyMs: 200, tick: () => Promise.resolve(ticks++), log: silent,
  });
  await until(() => ticks >= 3);
  await jobs.close();
  await smoke.close();
  raw.disconnect();
  await embedded.close();
  await until(async () => !(await answers(portOf(embedded))));
});

test('a child of its own is gone, with its folder, when it is closed', async () => {
  const folder = freshDir();
  vi.stubEnv('TMPDIR', folder);
  onTestFinished(() => void vi.unstubAllEnvs());
  const embedded = await startEmbedded();
  expect(readdirSync(folder)).toEqual([expect.stringMatching(/^rollcall-redis-/)]);
  expect(await answers(portOf(embedded))).toBe(true);
  await embedded.close();
  expect(await answers(portOf(embedded))).toBe(false);
  expect(readdirSync(folder)).toEqual([]);
});

const HOLDER = `
  const { startEmbedded } = await import(process.argv[1]);
  const { target } = await startEmbedded();
  process.stdout.write(String(target.nodes[0].port));
  setInterval(() => undefined, 1000);
`;

test.each(['SIGKILL', 'SIGTERM', 'SIGINT'] as const)('a process that ends by %s leaves no Redis behind', async (signal) => {
  const built = new URL('../../dist/redis/connect/embedded.js', import.meta.url);
  expect(existsSync(built)).toBe(true);
  const holder = spawn(process.execPath, ['--input-type=module', '-e', HOLDER, built.href], { stdio: ['ignore', 'pipe', 'inherit'] });
  onTestFinished(() => void holder.kill('SIGKILL'));
  let said = '';
  holder.stdout.on('data', (chunk: Buffer) => (said += chunk.toString()));
  const port = Number(await until(() => (/^\d+$/.test(said) ? said : undefined)));
  expect(await answers(port)).toBe(true);
  holder.kill(signal);
  await until(async () => !(await answers(port)));
});
