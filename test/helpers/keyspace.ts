import type { Redis } from 'ioredis';

const READERS: Record<string, (redis: Redis, key: string) => Promise<unknown>> = {
  string: (redis, key) => redis.get(key),
  hash: (redis, key) => redis.hgetall(key),
  set: async (redis, key) => (await redis.smembers(key)).sort(),
  zset: (redis, key) => redis.zrange(key, 0, '-1', 'WITHSCORES'),
  stream: (redis, key) => redis.xrange(key, '-', '+'),
};

/** Everything that stands in a Redis, with the moment each key expires: two of these are equal when nothing was written. */
export async function keyspace(redis: Redis, ignored: string[] = [], pattern = '*') {
  const keys = (await redis.keys(pattern)).filter((key) => !ignored.includes(key)).sort();
  const entries = keys.map(async (key) => {
    const [type, expiresAt] = await Promise.all([redis.type(key), redis.pexpiretime(key)]);
    const content = READERS[type] ? await READERS[type](redis, key) : 'gone';
    return [key, { type, expiresAt, content }] as const;
  });
  return Object.fromEntries(await Promise.all(entries));
}
