import { Redis } from 'ioredis';
import { expect, onTestFinished, test } from 'vitest';
import { createConnection, type Connection, type Role } from '../../src/redis/connect/connection.js';
import { silent } from '../helpers/gateway.js';
import { startRedis } from '../helpers/redis.js';
import { until } from '../helpers/until.js';
import { parseRedisUrl } from '../../src/redis/connect/url.js';

async function redisWith(databases: string, port?: number) {
  const redis = await startRedis(['--databases', databases], {}, port);
  onTestFinished(() => redis.stop());
  return redis;
}

/** A connection that waits for its database, and how often it tried. */
function watched(connection: Connection) {
  onTestFinished(() => connection.disconnect());
  const seen = { ready: 0, refused: 0 };
  connection.on('ready', () => seen.ready++).on('error', ({ message }: Error) => (seen.refused += Number(message.includes('DB index'))));
  return seen;
}

test.each<Role>(['commands', 'reader', 'news', 'jobs'])('a connection for %s is not ready in another database than its own, the first time or later, nor is a copy of it', async (role) => {
  const before = await redisWith('4');
  const connection = createConnection(role, { target: parseRedisUrl(`${before.url}/3`) }, silent) as Redis;
  const copy = connection.duplicate(); // as BullMQ's worker makes one
  const seen = [watched(connection), watched(copy)];
  await Promise.all([connection.connect(), copy.connect()]);
  await connection.set('mine', '1');
  expect(seen).toMatchObject([{ ready: 1 }, { ready: 1 }]);

  await before.kill();
  const after = await redisWith('2', before.port);
  const unanswered = role === 'jobs' ? connection.set('mine', '2').catch(() => undefined) : undefined; // it waits for its connection
  await until(() => seen.every(({ refused }) => refused >= 2), 15_000);
  expect(seen).toMatchObject([{ ready: 1 }, { ready: 1 }]);
  await expect(Promise.race([unanswered ?? connection.set('mine', '2'), Promise.reject(new Error('still waiting'))])).rejects.toThrow();
  const raw = new Redis(after.url);
  expect(await raw.dbsize()).toBe(0);
  raw.disconnect();
});
