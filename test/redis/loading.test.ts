import { Redis } from 'ioredis';
import { expect, onTestFinished, test } from 'vitest';
import { createConnection } from '../../src/redis/connect/connection.js';
import { parseRedisUrl } from '../../src/redis/connect/url.js';
import { silent } from '../helpers/gateway.js';
import { startRedis } from '../helpers/redis.js';
import { until } from '../helpers/until.js';

test('a Redis that has read its data is used at once, however long it said that would take', { timeout: 40_000 }, async () => {
  const slowly = ['--appendonly', 'yes', '--key-load-delay', '5000', '--loading-process-events-interval-bytes', '1024'];
  const redis = await startRedis(slowly);
  onTestFinished(redis.stop);
  const raw = new Redis(redis.url, { enableReadyCheck: false, retryStrategy: () => 20 });
  raw.on('error', () => undefined);
  onTestFinished(() => raw.disconnect());
  await raw.mset(Object.fromEntries(Array.from({ length: 4000 }, (_, i) => [`key-${i}`, 'x'.repeat(100)])));
  await raw.bgrewriteaof();
  await until(async () => /aof_rewrite_in_progress:0/.test(await raw.info('persistence')));
  await redis.kill();
  const restarted = redis.restart(); // some 20 s, if nobody helps
  await until(async () => Number(/loading_eta_seconds:(\d+)/.exec(await raw.info('persistence'))?.[1]) > 8);

  const connection = createConnection('commands', { target: parseRedisUrl(redis.url) }, silent);
  onTestFinished(() => connection.disconnect());
  void connection.connect().catch(() => undefined);
  await until(async () => Number(/cmdstat_info:calls=(\d+)/.exec(await raw.info('commandstats'))?.[1]) > 0 && (connection as Redis).status === 'connect');
  await raw.config('SET', 'key-load-delay', '0');
  await restarted;
  await until(() => (connection as Redis).status === 'ready', 3000);
  expect(await connection.ping()).toBe('PONG');
});
