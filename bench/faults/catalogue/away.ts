import { setTimeout as sleep } from 'node:timers/promises';
import { until } from '../../../test/helpers/until.js';
import type { Member } from '../bed.js';
import { TYPE } from '../load.js';
import type { Field } from '../field.js';
import { underLoad, type Setup } from '../rig.js';
import type { Fault } from '../scale.js';
import { redisAnswers, restoredAfter, someOf, writesBack } from '../tools.js';

const KEPT = ['--appendonly', 'yes'];

/** Redis is away for so long, some die meanwhile, and then it is back with what it had. */
async function away(field: Field, ms: number, go: () => unknown, back: () => unknown) {
  const { outages, load, numbers } = field;
  outages.begin();
  await go();
  await sleep(ms / 2);
  load.kill(someOf(field, 0.04));
  await sleep(ms / 2);
  const since = await outages.end(async () => {
    await back();
    await redisAnswers(field);
  }, ms > 3000);
  numbers.awayS = ms / 1000;
  numbers.writesBackMs = await writesBack(field, since);
  numbers.restoredMs = await restoredAfter(field, since);
  field.require(numbers.restoredMs >= 0 && numbers.restoredMs <= 3000, `Redis holds everybody again after ${numbers.restoredMs} ms`);
}

const killed = (name: string, setup: Setup, ms: { full: number; short: number }): Fault => ({
  name,
  expectation: 'writes 503 within 1.5 s, reads go on, nobody is dropped; who died meanwhile is gone ttl + 2 s after the return',
  run: (scale) =>
    underLoad(scale, { redisArgs: KEPT, ...(scale.full && setup) }, (field) => {
      const { redis } = field.bed;
      return away(field, scale.full ? ms.full : ms.short, redis.kill, redis.restart);
    }),
});

const stopped = (name: string, setup: Setup, ms: { full: number; short: number }): Fault => ({
  name,
  expectation: 'a frozen Redis answers nobody and closes nothing: the same as when it is away',
  run: (scale) =>
    underLoad(scale, { ...(scale.full && setup) }, (field) => {
      const { redis } = field.bed;
      return away(field, scale.full ? ms.full : ms.short, () => redis.signal('SIGSTOP'), () => redis.signal('SIGCONT'));
    }),
});

/** Calls through HAProxy by a client that retries nothing. */
function throughBalancer({ bed, load }: Field) {
  const url = bed.balancer?.url as string;
  const counts = { reads: 0, readErrors: 0, writes: 0, writeErrors: 0 };
  const [life] = load.lives as [(typeof load.lives)[number]];
  let stopped = false;
  const run = async (path: string, method: string, done: () => void, failed: () => void) => {
    while (!stopped) {
      const ok = await load.http.call(url, path, { method }).then(({ status }) => status === 200, () => false);
      (ok ? done : failed)();
      await sleep(50);
    }
  };
  const running = [
    run(`/instances?type=${TYPE}&group=${life.group}`, 'GET', () => counts.reads++, () => counts.readErrors++),
    run(`/instances/${life.id}/heartbeat`, 'POST', () => counts.writes++, () => counts.writeErrors++),
  ];
  return async () => {
    stopped = true;
    await Promise.all(running);
    return counts;
  };
}

const cutOne: Fault = {
  name: 'cut-one-replica',
  expectation: 'one replica without Redis for 30 s: HAProxy leaves it out, no read fails, writes fail only until then',
  run: (scale) =>
    underLoad(scale, { gates: true, balancer: true }, async (field) => {
      const { bed, numbers, require } = field;
      const [cut] = bed.members as [Member];
      const stop = throughBalancer(field);
      const [since, address] = [Date.now(), new URL(cut.url).host];
      cut.gate.cut();
      const isUp = async () => (await bed.balancer?.up('strict'))?.includes(address) ?? false;
      await until(async () => !(await isUp()), 10_000);
      numbers.leftOutMs = Date.now() - since;
      await sleep((scale.full ? 30_000 : 5000) - numbers.leftOutMs);
      cut.gate.mend();
      const mendedAt = Date.now();
      await until(isUp, 10_000);
      numbers.backMs = Date.now() - mendedAt;
      const counts = await stop();
      Object.assign(numbers, counts);
      require(counts.readErrors === 0, `${counts.readErrors} reads failed through the balancer`);
    }),
};

const cutAll: Fault = {
  name: 'cut-all-replicas',
  expectation: 'with all replicas cut off HAProxy keeps serving reads',
  run: (scale) =>
    underLoad(scale, { gates: true, balancer: true }, async (field) => {
      const { bed, outages, numbers, require } = field;
      const stop = throughBalancer(field);
      outages.begin();
      for (const { gate } of bed.members) gate.cut();
      await sleep(scale.full ? 15_000 : 5000);
      numbers.strictLeft = (await bed.balancer?.up('strict'))?.length ?? -1;
      const since = await outages.end(() => bed.members.forEach(({ gate }) => gate.mend()));
      numbers.writesBackMs = await writesBack(field, since);
      const counts = await stop();
      Object.assign(numbers, counts);
      require(counts.readErrors === 0, `${counts.readErrors} reads failed through the balancer`);
      require(numbers.strictLeft === 0, `${numbers.strictLeft} replicas without Redis count as strict`);
    }),
};

const halfOpen: Fault = {
  name: 'half-open',
  expectation: 'what one replica says to Redis is lost, and nobody tells it: its writes are 503 within 1.5 s, then the socket is replaced',
  run: (scale) =>
    underLoad(scale, { gates: true }, async (field) => {
      const { bed, load, numbers, require } = field;
      const [dark] = bed.members as [Member];
      dark.gate.halt();
      const hangs: number[] = [];
      const endsAt = Date.now() + (scale.full ? 15_000 : 6000);
      for (let n = 0; Date.now() < endsAt; n++) {
        const { status, sentAt, receivedAt } = await load.http.call(dark.url, `/instances/${load.lives[n % load.lives.length]?.id}/heartbeat`, { method: 'POST' });
        hangs.push(receivedAt - sentAt);
        require(status === 503, `a heartbeat to a replica that talks to nobody: ${status}`);
        await sleep(100);
      }
      numbers.longestHangMs = Math.max(...hangs);
      require(numbers.longestHangMs <= 1500, `a write hung for ${numbers.longestHangMs} ms`);
      dark.gate.cut();
      dark.gate.mend();
      numbers.backMs = await writesBack(field, Date.now());
    }),
};

const LONG: Setup = { ttlSeconds: 30 };

export const redisAway: Fault[] = [
  killed('redis-down-5s', {}, { full: 5000, short: 4000 }),
  killed('redis-down-60s', LONG, { full: 60_000, short: 6500 }),
  stopped('redis-sigstop-20s', LONG, { full: 20_000, short: 2000 }),
  stopped('redis-sigstop-40s', LONG, { full: 40_000, short: 4500 }),
  cutOne,
  cutAll,
  halfOpen,
];
