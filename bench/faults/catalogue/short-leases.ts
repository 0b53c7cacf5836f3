import { setTimeout as sleep } from 'node:timers/promises';
import { underLoad } from '../rig.js';
import type { Fault } from '../scale.js';
import { redisAnswers } from '../tools.js';

/** Leases about as long as the outage: whoever beats in time has a whole ttl from the return. */
const shortOutage = (ttlSeconds: number, awayMs: number): Fault => ({
  name: `outage-of-a-${ttlSeconds}s-lease`,
  expectation: `leases of ${ttlSeconds} s, Redis stopped for ${awayMs / 1000} s, four times: nobody is left out of an answer that is not marked, nobody is swept`,
  run: (scale) =>
    underLoad(scale, { instances: 30, groups: 30, ttlSeconds }, async (field) => {
      const { bed, outages, numbers } = field;
      const times = scale.full ? 4 : 1;
      for (let n = 0; n < times; n++) {
        outages.begin();
        bed.redis.signal('SIGSTOP');
        await sleep(awayMs);
        await outages.end(async () => {
          bed.redis.signal('SIGCONT');
          await redisAnswers(field);
        });
        await sleep(3 * ttlSeconds * 1000);
      }
      numbers.outages = times;
    }),
});

export const shortLeases: Fault[] = [shortOutage(2, 2700), shortOutage(3, 2900)];
