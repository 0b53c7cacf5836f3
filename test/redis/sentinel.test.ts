import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { onTestFinished, test } from 'vitest';
import { parseRedisUrl } from '../../src/redis/connect/url.js';
import { freePort } from '../helpers/ports.js';
import { startRedis } from '../helpers/redis.js';
import { exercise, openSmoke } from '../helpers/smoke.js';
import { until } from '../helpers/until.js';

/** One Sentinel that watches a primary by the name of `main`. */
async function startSentinel(primaryPort: number): Promise<number> {
  const port = await freePort();
  const dir = mkdtempSync(join(tmpdir(), 'rollcall-test-sentinel-'));
  const file = join(dir, 'sentinel.conf');
  writeFileSync(file, [`port ${port}`, 'bind 127.0.0.1', `dir ${dir}`, 'sentinel resolve-hostnames yes', `sentinel monitor main 127.0.0.1 ${primaryPort} 1`, ''].join('\n'));
  const child = spawn('redis-server', [file, '--sentinel'], { stdio: 'ignore' });
  onTestFinished(async () => {
    child.kill('SIGKILL');
    await until(() => child.exitCode !== null || child.signalCode !== null);
    rmSync(dir, { recursive: true, force: true });
  });
  const raw = new Redis({ port, retryStrategy: () => 50 });
  raw.on('error', () => undefined);
  await until(async () => ((await raw.call('SENTINEL', 'GET-MASTER-ADDR-BY-NAME', 'main')) as unknown[] | null) !== null);
  raw.disconnect();
  return port;
}

test('every verb works on the primary that a Sentinel names, past a Sentinel that is down', async () => {
  const redis = await startRedis();
  onTestFinished(() => redis.stop());
  const [sentinel, down] = [await startSentinel(redis.port), await freePort()];
  const raw = new Redis(redis.url);
  onTestFinished(() => raw.disconnect());
  const smoke = await openSmoke({ target: parseRedisUrl(`redis+sentinel://127.0.0.1:${down},127.0.0.1:${sentinel}/main`) }, 'service:');
  await exercise(smoke, raw);
});
