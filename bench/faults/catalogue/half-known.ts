import { setTimeout as sleep } from 'node:timers/promises';
import { until } from '../../../test/helpers/until.js';
import { instance, openFiller } from '../../rig.js';
import { keys, type Member } from '../bed.js';
import { openClocks } from '../clocks.js';
import { idsIn } from '../http.js';
import { TYPE } from '../load.js';
import type { Field } from '../field.js';
import { underLoad } from '../rig.js';
import type { Fault } from '../scale.js';

const MARKS = ['x-stale-seconds', 'x-recovering'];

/** How many an unmarked answer of this group lists; undefined when it is marked or refused. */
async function listed({ load }: Field, { url }: Member, group: string, strong = false): Promise<number | undefined> {
  const reply = await load.http.call(url, `/instances?type=${TYPE}&group=${group}&limit=10000${strong ? '&consistency=strong' : ''}`, { timeoutMs: 10_000 });
  return reply.status === 200 && !MARKS.some((mark) => reply.headers[mark] !== undefined) ? idsIn(reply.text).size : undefined;
}

const stoppedRestorer: Fault = {
  name: 'restorer-stopped',
  expectation: 'the only replica that knows 10,000 instances is stopped for 5 s while it gives them back; one that starts meanwhile does not take what is there for the whole',
  alone: true,
  run: (scale) =>
    underLoad(scale, { idle: true, replicas: 2 }, async (field) => {
      const { bed, numbers, require } = field;
      const [knowing, starting] = bed.members as [Member, Member];
      const count = scale.full ? 10_000 : 4000;
      await starting.kill();
      const filler = await openFiller(bed.redis.url);
      await filler.fill('whole', count, count);
      filler.close();
      await until(async () => (await listed(field, knowing, 'whole-0')) === count, 30_000, 50);
      await bed.raw.flushall();
      await until(async () => (await bed.raw.zcard(keys.leases)) >= count / 10, 20_000, 1);
      knowing.signal('SIGSTOP');
      const [restored, since] = [await bed.raw.zcard(keys.leases), Date.now()];
      const goOn = sleep(5000).then(() => knowing.signal('SIGCONT'));
      await starting.start();
      numbers.readyMs = Date.now() - since;
      let short = 0;
      for (const endsAt = Date.now() + 4000; Date.now() < endsAt; await sleep(50)) {
        const size = await listed(field, starting, 'whole-0');
        if (size !== undefined && size < count) short++;
      }
      await goOn;
      await until(async () => (await listed(field, starting, 'whole-0')) === count, 30_000, 50);
      Object.assign(numbers, { instances: count, restoredBefore: restored, short });
      require(restored < count, 'it was restored before the replica could be stopped');
      require(short === 0, `${short} answers were short and did not say so`);
    }),
};

const clockBehind: Fault = {
  name: 'loss-with-a-clock-behind',
  expectation: 'after 12,000 changes at once Redis comes back empty and a minute behind; who registers there before anybody knows is listed like everybody else',
  alone: true,
  run: (scale) => {
    const clocks = openClocks();
    const clock = clocks?.make('redis');
    if (!clock) return Promise.resolve({ numbers: { skipped: 'no gcc' }, failures: [] });
    return underLoad(scale, { idle: true, replicas: scale.full ? 3 : 1, redisEnv: clock.env }, async (field) => {
      const { bed, numbers, require } = field;
      const fill = async (stem: string, count: number, rounds = 1) => {
        const filler = await openFiller(bed.redis.url);
        for (let n = 0; n < rounds; n++) await filler.fillEach(Array.from({ length: count }, (_, i) => ({ ...instance(stem, i, count), ttlSeconds: 300, customState: `round ${n}` })));
        filler.close();
      };
      await fill('old', 200, 60);
      await until(async () => (await listed(field, bed.members[0] as Member, 'old-0')) === 200, 40_000, 50);
      await bed.redis.kill();
      clock.set(-60_000);
      await bed.redis.restart();
      await fill('newbie', 5);
      await sleep(8000);
      const all = await Promise.all(bed.members.map(async (member) => [await listed(field, member, 'newbie-0', true), await listed(field, member, 'old-0', true)]));
      Object.assign(numbers, { listed: JSON.stringify(all), leases: await bed.raw.zcard(keys.leases) });
      require(all.every(([newbies, old]) => newbies === 5 && old === 200), `listed of 5 and of 200: ${JSON.stringify(all)}`);
    }).finally(clocks?.close);
  },
};

export const halfKnown: Fault[] = [stoppedRestorer, clockBehind];
