import type { Strike } from '../random/plan.js';
import { explain, judge, summary } from '../random/judge/index.js';
import { runRandom } from '../random/run.js';
import type { Fault, Outcome } from '../scale.js';

const SHOWN = 6;

interface Planned {
  seed?: number;
  minutes: number;
  slots?: number;
  strikes?: Strike[];
}

/** Until all have settled in the end, and for a start on a busy machine. */
const BESIDES_MS = 240_000;

/** A run of the random faults' instances and judge, with faults that are planned or the seed's. */
async function judged({ seed = 1, minutes, slots = 100, strikes }: Planned): Promise<Outcome> {
  const { history, logs } = await runRandom({ seed, minutes, slots, ...(strikes && { strikes }) });
  const violations = judge(history);
  const rules = new Map<string, number>();
  for (const { rule } of violations) rules.set(rule, (rules.get(rule) ?? 0) + 1);
  const [, said = ''] = summary(history, violations).split(/: (.*)/);
  return {
    numbers: { said, ...Object.fromEntries(rules) },
    failures: [...violations.slice(0, SHOWN).map((each) => explain(each, history)), ...(violations.length > 0 ? logs.map((log, n) => `log of ${n}:\n${log.slice(-20_000)}`) : [])],
  };
}

const each = (from: number, everyMs: number, strikes: Omit<Strike, 'at'>[]): Strike[] => strikes.map((strike, n) => ({ at: from + n * everyMs, ...strike }));

const slowOne: Fault = {
  name: 'slow-redis-one',
  expectation: 'each reply of Redis comes 200, 900 and 2,000 ms late to one replica: no answer of it that is not marked is older than a second',
  atMostMs: 60_000 + BESIDES_MS,
  run: (scale) => {
    const values = scale.full ? [200, 900, 2000] : [2000];
    return judged({ minutes: scale.full ? 0.9 : 0.3, strikes: each(3000, 13_000, values.map((value) => ({ kind: 'delay', replica: 0, ms: 10_000, value }))) });
  },
};

const slowAll: Fault = {
  name: 'slow-redis-all',
  expectation: 'the same to all replicas at once: nobody is dropped, and what is older than a second says so',
  atMostMs: 60_000 + BESIDES_MS,
  run: () =>
    judged({
      minutes: 0.9,
      strikes: [200, 900, 2000].flatMap((value, n) => [0, 1, 2].map((replica): Strike => ({ at: 3000 + n * 13_000, kind: 'delay', replica, ms: 10_000, value }))),
    }),
};

const repliesLost: Fault = {
  name: 'replies-lost',
  expectation: 'what Redis answers is lost again and again, and was applied: who repeats with the same ids is found, nobody is doubled, nobody told twice',
  atMostMs: 60_000 + BESIDES_MS,
  run: () => judged({ minutes: 0.8, strikes: each(3000, 1200, Array.from({ length: 30 }, (_, n) => ({ kind: 'swallow', replica: n % 3, ms: 600 }))) }),
};

const DAY_MS = 86_400_000;
const gatewayClocks: Fault = {
  name: 'gateway-clocks',
  expectation: 'the clock of one gateway is 5 s, an hour, a day ahead or behind, and is set right again: nobody early, nobody missing, who dies is swept in time',
  atMostMs: 120_000 + BESIDES_MS,
  run: () =>
    judged({ minutes: 2, strikes: each(35_000, 12_000, [5000, -5000, 3_600_000, -3_600_000, DAY_MS, -DAY_MS].map((value, n) => ({ kind: 'clock', replica: n % 3, ms: 9000, value }))) }),
};

const redisClock: Fault = {
  name: 'redis-clock',
  expectation: 'the clock of Redis steps 60 s ahead and back, 60 s behind and back: nobody is dropped, and nobody dead stays longer than a ttl after a step',
  atMostMs: 100_000 + BESIDES_MS,
  run: () => judged({ minutes: 1.6, strikes: each(5000, 40_000, [60_000, -60_000].map((value) => ({ kind: 'redisClock', ms: 20_000, value }))) }),
};

const stoppedMeanwhile: Fault = {
  name: 'loss-while-one-is-stopped',
  expectation: 'a replica is stopped for 3.9 s, Redis is killed meanwhile and comes back empty, five times: it revives nobody and overwrites nobody',
  atMostMs: 100_000 + BESIDES_MS,
  run: (scale) =>
    judged({
      seed: 2,
      minutes: scale.full ? 1.6 : 0.5,
      strikes: Array.from({ length: scale.full ? 5 : 1 }, (_, n) => n).flatMap((n): Strike[] => [
        { at: 4000 + n * 16_000, kind: 'stop', replica: n % 3, ms: 3900 },
        { at: 6300 + n * 16_000, kind: 'empty', ms: 3800 },
      ]),
    }),
};

const fiveMinutes: Fault = {
  name: 'random',
  expectation: 'five minutes of faults by chance (`npm run faults:random`): no answer, event or refusal that no rule of docs/design.md allows',
  alone: true,
  atMostMs: 300_000 + BESIDES_MS,
  run: () => judged({ seed: 2, minutes: 5, slots: 200 }),
};

export const randomly: Fault[] = [slowOne, slowAll, repliesLost, gatewayClocks, redisClock, stoppedMeanwhile, fiveMinutes];
