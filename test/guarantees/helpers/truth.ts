import type { Redis } from 'ioredis';
import type { Keys } from '../../../src/redis/scripts/keys.js';
import type { StreamEntry } from '../../helpers/watch-log.js';

const PAGE = 5000;

/** Every entry of the stream, read from Redis itself, with its position. */
export async function readTruth({ raw, keys }: { raw: Redis; keys: Keys }): Promise<StreamEntry[]> {
  const epoch = await raw.hget(keys.epoch, 'id');
  const truth: StreamEntry[] = [];
  for (let from = '-'; ; ) {
    const page = await raw.xrange(keys.events, from, '+', 'COUNT', PAGE);
    for (const [id, flat] of page) {
      const fields = Object.fromEntries(flat.flatMap((field, i) => (i % 2 === 0 ? [[field, flat[i + 1] ?? '']] : [])));
      truth.push({ ...(fields as unknown as StreamEntry), revision: `${epoch}.${id}` });
    }
    const last = page.at(-1);
    if (page.length < PAGE || !last) return truth;
    from = `(${last[0]}`;
  }
}
