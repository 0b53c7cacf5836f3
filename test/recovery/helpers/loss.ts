import type { Redis } from 'ioredis';
import type { Keys } from '../../../src/redis/scripts/keys.js';

/** All keys of a prefix as they stood at one moment. */
export type Picture = [key: string, dump: Buffer, expiresAt: number][];

export async function takePicture(raw: Redis, { prefix }: Keys): Promise<Picture> {
  const names = await raw.keys(`${prefix}*`);
  const multi = raw.multi();
  for (const name of names) multi.dumpBuffer(name).pexpiretime(name);
  const replies = ((await multi.exec()) ?? []).map(([, reply]) => reply);
  return names.flatMap((name, i) => (replies[2 * i] === null ? [] : [[name, replies[2 * i] as Buffer, Number(replies[2 * i + 1])] as Picture[number]]));
}

/** Puts Redis back to that moment, as a failover or an old snapshot does: what came after it is lost. */
export async function rollBack(raw: Redis, { prefix }: Keys, picture: Picture) {
  const names = await raw.keys(`${prefix}*`);
  const multi = raw.multi();
  if (names.length > 0) multi.del(...names);
  for (const [key, dump, expiresAt] of picture) {
    if (expiresAt > 0) multi.restore(key, expiresAt, dump, 'ABSTTL');
    else multi.restore(key, 0, dump);
  }
  for (const [error] of (await multi.exec()) ?? []) if (error) throw error;
}

/** FLUSHALL, for one prefix. */
export async function empty(raw: Redis, { prefix }: Keys) {
  const names = await raw.keys(`${prefix}*`);
  if (names.length > 0) await raw.del(...names);
}
