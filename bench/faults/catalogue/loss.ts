import { setTimeout as sleep } from 'node:timers/promises';
import { until } from '../../../test/helpers/until.js';
import { idsIn } from '../http.js';
import { keys, type Member } from '../bed.js';
import { TYPE } from '../load.js';
import type { Field } from '../field.js';
import { underLoad } from '../rig.js';
import type { Fault, Scale } from '../scale.js';
import { events, redisAnswers, registerAtOnce, restoredAfter, someOf } from '../tools.js';

const RESTORED_WITHIN_MS = 3000;
const crowd = (scale: Scale) => ({ instances: scale.full ? 1000 : scale.instances });

/** Loses everything by `act`, just after some were registered and while others die. */
async function lose(field: Field, act: () => unknown, { awayMs = 0, late = 100 } = {}) {
  const { outages, load, numbers, require } = field;
  const { inLast50ms } = await registerAtOnce(field, late, 'late');
  outages.begin();
  if (awayMs > 0) await field.bed.redis.kill();
  numbers.ackedInLast50ms = inLast50ms;
  load.kill(someOf(field, 0.04));
  await sleep(awayMs);
  const since = await outages.end(act);
  await redisAnswers(field);
  numbers.restoredMs = await restoredAfter(field, since);
  require(numbers.restoredMs >= 0 && numbers.restoredMs <= RESTORED_WITHIN_MS, `Redis holds everybody again after ${numbers.restoredMs} ms, not within ${RESTORED_WITHIN_MS}`);
}

const flushall: Fault = {
  name: 'flushall',
  expectation: 'all back in Redis within 3 s, also who registered in the last 50 ms; nobody missing in any answer; who dies is gone after ttl + 2 s',
  alone: true, // else the burst of registrations takes longer than 50 ms
  run: (scale) => underLoad(scale, crowd(scale), (field) => lose(field, () => field.bed.raw.flushall())),
};

const restartedEmpty: Fault = {
  name: 'redis-restarted-empty',
  expectation: 'as after flushall; no heartbeat is answered 404',
  alone: true,
  run: (scale) => underLoad(scale, crowd(scale), (field) => lose(field, field.bed.redis.restart, { awayMs: scale.full ? 5000 : 2000 })),
};

const flushTwice: Fault = {
  name: 'flush-twice',
  expectation: 'a second flush 1.5 s after the first changes nothing of that',
  run: (scale) =>
    underLoad(scale, {}, async (field) => {
      field.outages.begin();
      await field.outages.end(() => field.bed.raw.flushall());
      await sleep(1500);
      await lose(field, () => field.bed.raw.flushall());
    }),
};

const flushWhileCut: Fault = {
  name: 'flush-while-one-is-cut',
  expectation: 'the replica that saw nothing for 10 s revives nobody who was removed meanwhile, and overwrites nothing',
  run: (scale) =>
    underLoad(scale, { gates: true, resets: true }, async (field) => {
      const { bed, load, numbers, require } = field;
      const [cut, other, third] = bed.members as [Member, Member, Member];
      cut.gate.cut();
      await sleep(scale.full ? 3000 : 2500);
      const removed = someOf(field, 0.05);
      const changed = someOf(field, 0.07).filter((life) => !removed.includes(life));
      const statuses = await Promise.all([...removed.map((life) => load.remove(life, other)), ...changed.map((life) => load.patch(life, { seen: 'yes' }, third))]);
      require(statuses.every((status) => status === 204 || status === 200), `changes while one is cut: ${[...new Set(statuses)].join()}`);
      await sleep(1000);
      await lose(field, () => bed.raw.flushall(), { late: 10 });
      await sleep(scale.full ? 4000 : 2000);
      cut.gate.mend();
      const since = Date.now();
      await until(async () => (await load.http.call(cut.url, '/groups?consistency=strong')).status === 200, 10_000);
      numbers.cutBackMs = Date.now() - since;
      numbers.removed = removed.length;
    }),
};

const epochDeleted: Fault = {
  name: 'epoch-deleted',
  expectation: 'a new epoch, and nothing else: all is still there',
  run: (scale) =>
    underLoad(scale, {}, async (field) => {
      const { bed, outages, numbers } = field;
      const before = await bed.raw.hgetall(keys.epoch);
      outages.begin();
      await outages.end(() => bed.raw.del(keys.epoch));
      await until(async () => Object.keys(await bed.raw.hgetall(keys.epoch)).length > 0);
      await sleep(3000);
      const after = await bed.raw.hgetall(keys.epoch);
      field.require(JSON.stringify(before) !== JSON.stringify(after), 'the epoch is the same as before');
      numbers.restoredEvents = (await events(field)).filter(({ kind }) => kind === 'restored').length;
    }),
};

const startsOnEmptied: Fault = {
  name: 'start-on-emptied-redis',
  expectation: 'a replica that starts while the others restore is not ready before it can list everybody',
  run: (scale) =>
    underLoad(scale, {}, async (field) => {
      const { bed, load, outages, witness, numbers, require } = field;
      const [starting] = bed.members as [Member];
      await starting.kill();
      outages.begin();
      const since = await outages.end(() => bed.raw.flushall());
      await starting.start();
      const shown = await Promise.all(
        load.groups.map(async (group) => {
          const reply = await load.http.call(starting.url, `/instances?type=${TYPE}&group=${group}`);
          if (reply.status === 200) witness.judge(reply, group, starting.url);
          return reply.status === 200 ? idsIn(reply.text).size : 0;
        }),
      );
      numbers.readyMs = Date.now() - since;
      numbers.listed = shown.reduce((total, count) => total + count, 0);
      require(numbers.listed === load.lives.length, `when it was ready it listed ${numbers.listed} of ${load.lives.length}`);
    }),
};

export const loss: Fault[] = [flushall, restartedEmpty, flushTwice, flushWhileCut, epochDeleted, startsOnEmptied];
