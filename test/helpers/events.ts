import type { Redis } from 'ioredis';

/** The entries of an events stream as objects, oldest first. */
export async function eventsIn(redis: Redis, key: string): Promise<Record<string, string>[]> {
  const entries = await redis.xrange(key, '-', '+');
  return entries.map(([, flat]) => Object.fromEntries(flat.flatMap((field, i) => (i % 2 === 0 ? [[field, flat[i + 1] ?? '']] : []))));
}
