import { setTimeout as sleep } from 'node:timers/promises';
import { Queue } from 'bullmq';
import { Redis } from 'ioredis';
import { pino } from 'pino';
import { expect, inject, onTestFinished, test } from 'vitest';
import { startJobs } from '../../src/jobs/jobs.js';
import { runSweep, type SweepObserver } from '../../src/jobs/sweep.js';
import type { Maintenance } from '../../src/registry/maintenance.js';
import { createConnection } from '../../src/redis/connect/connection.js';
import { jobsPrefix } from '../../src/redis/scripts/keys.js';
import { parseRedisUrl } from '../../src/redis/connect/url.js';
import { freshPrefix, openRegistry, silent } from '../helpers/gateway.js';
import { startRedis } from '../helpers/redis.js';
import { CALLER, complete, expectAgreement, lapse, readStore } from '../helpers/store.js';
import { until } from '../helpers/until.js';

interface Setup {
  prefix?: string;
  redisUrl?: string;
  everyMs?: number;
  tick?: () => Promise<unknown>;
}

/** Jobs of one replica, and how often they ticked. */
function jobsOf({ prefix = jobsPrefix(freshPrefix()), redisUrl = inject('redisUrl'), everyMs = 200, tick = () => Promise.resolve() }: Setup) {
  const counted = { ticks: 0 };
  const jobs = startJobs({
    tickedAgoMs: () => undefined,
    connection: createConnection('jobs', { target: parseRedisUrl(redisUrl) }, silent),
    prefix,
    everyMs,
    tick: () => {
      counted.ticks++;
      return tick();
    },
    log: silent,
  });
  const raw = new Redis(redisUrl, { commandTimeout: 1000, maxRetriesPerRequest: 0 });
  raw.on('error', () => undefined);
  onTestFinished(async () => {
    await jobs.close();
    const left = await raw.keys(`${prefix}*`).catch(() => []);
    if (left.length > 0) await raw.del(left);
    raw.disconnect();
  });
  return { jobs, raw, prefix, counted };
}

test('the scheduler comes back after all keys of its queue are deleted', async () => {
  const { raw, prefix, counted } = jobsOf({});
  await until(() => counted.ticks >= 2);
  const keys = await raw.keys(`${prefix}*`);
  expect(keys.length).toBeGreaterThan(2);
  await raw.del(keys);
  const before = counted.ticks;
  await until(() => counted.ticks >= before + 3);
});

test('finished jobs do not pile up, nor do failed ones', async () => {
  let fail = false;
  const { raw, prefix } = jobsOf({ tick: () => (fail ? Promise.reject(new Error('on purpose')) : Promise.resolve()) });
  const queue = new Queue('sweep', { connection: raw, prefix, skipMetasUpdate: true });
  onTestFinished(() => queue.close());
  for (const [state, most] of [['completed', 100], ['failed', 50]] as const) {
    fail = state === 'failed';
    const kept = () => raw.zcard(`${prefix}:sweep:${state}`);
    // Jobs without options are kept for ever, until a tick that has them finishes.
    await queue.addBulk(Array.from({ length: 4 * most }, () => ({ name: 'tick', data: {} })));
    await until(async () => (await raw.llen(`${prefix}:sweep:wait`)) === 0);
    await until(async () => (await kept()) <= most && (await kept()) > most / 2);
  }
});

test('two environments on one Redis do not share a job', async () => {
  const [one, other] = [jobsOf({ prefix: jobsPrefix(freshPrefix()), everyMs: 100 }), jobsOf({ prefix: jobsPrefix(freshPrefix()), everyMs: 3_600_000 })];
  await until(() => other.counted.ticks === 1); // its first tick comes at once
  const before = one.counted.ticks;
  await until(() => one.counted.ticks >= before + 5);
  expect(other.counted.ticks).toBe(1);
});

test('replicas of one environment share its jobs: one tick, one run', async () => {
  const prefix = jobsPrefix(freshPrefix());
  const replicas = [1, 2, 3].map(() => jobsOf({ prefix, everyMs: 200 }));
  const total = () => replicas.reduce((sum, { counted }) => sum + counted.ticks, 0);
  await until(() => total() >= 1);
  const [startedAt, before] = [performance.now(), total()];
  await until(() => total() >= before + 10);
  const slots = (performance.now() - startedAt) / 200;
  expect(total() - before).toBeLessThanOrEqual(slots + 2);
});

test('close waits for the running tick', async () => {
  let finished = false;
  const { jobs, counted } = jobsOf({ tick: () => sleep(300).then(() => (finished = true)) });
  await until(() => counted.ticks === 1);
  await jobs.close();
  expect(finished).toBe(true);
});

test.each([
  { title: 'gone', halt: (redis: Awaited<ReturnType<typeof startRedis>>) => redis.kill() },
  { title: 'stopped', halt: (redis: Awaited<ReturnType<typeof startRedis>>) => Promise.resolve(void redis.signal('SIGSTOP')) },
])('close returns within its deadline while Redis is $title', async ({ halt }) => {
  const redis = await startRedis();
  onTestFinished(() => redis.stop());
  const { jobs, counted } = jobsOf({ redisUrl: redis.url });
  await until(() => counted.ticks >= 1);
  await halt(redis);
  const late = sleep(5000).then(() => 'too late');
  expect(await Promise.race([jobs.close().then(() => 'closed'), late])).toBe('closed');
});

function observed() {
  const seen = { swept: [] as object[], failed: 0, reconciled: [] as object[] };
  const observer: SweepObserver = {
    swept: ({ evicted, rescored }) => seen.swept.push({ evicted, rescored }),
    failed: () => seen.failed++,
    reconciled: (result) => seen.reconciled.push(result),
  };
  return { seen, observer };
}

/** In groups of four: more of one group that fall silent at once are held. */
async function registerLapsed({ registry, raw, keys }: Pick<Awaited<ReturnType<typeof openRegistry>>, 'registry' | 'raw' | 'keys'>, count: number) {
  const groups = Array.from({ length: Math.ceil(count / 4) }, (_, i) => ({ group: `kr-${i}`, ids: [0, 1, 2, 3].map((j) => `id-${4 * i + j}`).slice(0, count - 4 * i) }));
  await Promise.all(groups.flatMap(({ group, ids }) => ids.map((instanceId) => registry.register(complete({ instanceId, group }), CALLER))));
  await Promise.all(groups.map(({ group, ids }) => lapse(raw, keys, ids, `game:${group}`)));
}

test('one tick evicts all that has ended, batch by batch, counts each, names some and says how many more, and reconciles when it is due', async () => {
  const { maintenance, registry, raw, keys } = await openRegistry();
  await registerLapsed({ registry, raw, keys }, 450);
  await raw.sadd(keys.members('game:kr-1'), 'ghost');
  const { seen, observer } = observed();
  const lines: string[] = [];
  const log = pino({ level: 'info' }, { write: (line: string) => lines.push(line) });

  expect(await runSweep(maintenance, 60_000, observer, log)).toEqual({ evicted: 450, rescored: 0, held: 0 });
  expect(await runSweep(maintenance, 60_000, observer, log)).toEqual({ evicted: 0, rescored: 0, held: 0 });
  expect(seen).toEqual({ swept: [{ evicted: 450, rescored: 0 }, { evicted: 0, rescored: 0 }], failed: 0, reconciled: [{ removed: 1, adopted: 0 }] });
  const evicted = lines.map((line) => JSON.parse(line)).filter(({ msg }) => msg === 'evicted');
  expect(evicted).toHaveLength(20); // each has a line while they are few
  expect(lines.map((line) => JSON.parse(line)).find(({ msg }) => msg.startsWith('evicted more'))).toMatchObject({ evicted: 430 });
  expect(evicted[0]).toMatchObject({ type: 'game', group: expect.stringMatching(/^kr-/), instanceId: expect.stringMatching(/^id-/) });
  expectAgreement(await readStore(raw, keys));
});

test('a tick that runs twice, or on two replicas at once, tells each departure once', async () => {
  const { maintenance, registry, raw, keys } = await openRegistry();
  await registerLapsed({ registry, raw, keys }, 300);
  const totals = await Promise.all([1, 2, 3].map(() => runSweep(maintenance, 60_000, observed().observer, silent)));
  expect(totals.reduce((sum, { evicted }) => sum + evicted, 0)).toBe(300);
  const expired = (await readStore(raw, keys)).events.filter(({ kind }) => kind === 'expired');
  expect(new Set(expired.map(({ instanceId }) => instanceId)).size).toBe(300);
  expect(expired).toHaveLength(300);
});

test('a sweep that fails is counted and told to its caller', async () => {
  const { seen, observer } = observed();
  const failing: Maintenance = {
    sweep: () => Promise.reject(new Error('away')),
    claimReconcile: () => Promise.resolve(false),
    reconcile: () => Promise.resolve({ removed: 0, adopted: [] }),
  };
  await expect(runSweep(failing, 60_000, observer, silent)).rejects.toThrow('away');
  expect(seen).toEqual({ swept: [], failed: 1, reconciled: [] });
});

test('a sweep that is late by the clock of Redis is made by a replica itself, and once the queue ticks in time by none', async () => {
  let agoMs = 0;
  const counted = { ticks: 0, asked: 0 };
  const lines: string[] = [];
  const prefix = jobsPrefix(freshPrefix());
  const jobs = startJobs({
    connection: createConnection('jobs', { target: parseRedisUrl(inject('redisUrl')) }, silent),
    prefix,
    everyMs: 3_600_000, // the queue's next tick is far away, as with the schedule of a clock that was ahead
    tick: () => Promise.resolve(void counted.ticks++),
    tickedAgoMs: () => {
      counted.asked++;
      return agoMs;
    },
    log: pino({ level: 'warn' }, { write: (line: string) => lines.push(line) }),
  });
  onTestFinished(() => jobs.close());
  await until(() => counted.ticks === 1); // the queue's first comes at once
  agoMs = 3_600_000 * 1.4;
  counted.asked = 0;
  await until(() => counted.asked === 2);
  expect(counted.ticks).toBe(1);
  agoMs = 3_600_000 * 1.8;
  await until(() => counted.ticks === 2);
  expect(lines).toEqual([]);
  agoMs = 3_600_000 * 5;
  await until(() => counted.ticks === 3);
});
