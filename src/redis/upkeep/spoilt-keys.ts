import type { Logger } from 'pino';
import type { Source } from '../scripts/store.js';

const TYPES = {
  leases: 'zset', groups: 'set', events: 'stream', beats: 'stream', epoch: 'hash', alive: 'string', grace: 'string', swept: 'string', holds: 'hash', speakers: 'zset',
} as const;

/** Looks whether somebody replaced a key that all instances share, and says which: Redis' own WRONGTYPE does not. */
export class SpoiltKeys {
  #known = new Set<string>();

  constructor(
    private readonly source: Source,
    private readonly log: Logger,
  ) {}

  async look() {
    const { connection, keys } = this.source;
    const names = Object.keys(TYPES) as (keyof typeof TYPES)[];
    const pipeline = connection.pipeline();
    for (const name of names) pipeline.type(keys[name]);
    const replies = (await pipeline.exec()) ?? [];
    names.forEach((name, i) => {
      const [key, expected, [error, type]] = [keys[name], TYPES[name], replies[i] ?? [new Error('no reply'), '']];
      if (error) throw error;
      const spoilt = type !== 'none' && type !== expected;
      if (spoilt && !this.#known.has(key)) this.log.error({ key, type, expected }, 'a key of the registry was replaced by hand: writes fail until it is deleted, and then all comes back');
      if (!spoilt && this.#known.has(key)) this.log.info({ key }, 'a key of the registry that was replaced by hand is as it should be again');
      if (spoilt) this.#known.add(key);
      else this.#known.delete(key);
    });
  }
}
