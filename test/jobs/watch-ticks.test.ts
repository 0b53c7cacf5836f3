import { pino } from 'pino';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { watchTicks } from '../../src/jobs/watch-ticks.js';

beforeEach(() => void vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'performance'] }));
afterEach(() => void vi.useRealTimers());

/** A replica that watches the ticks; others tick as they like. */
function watcher() {
  const lines: string[] = [];
  const ticks = { own: 0, at: performance.now() };
  const timer = watchTicks({
    everyMs: 1000,
    tick: () => {
      ticks.own++;
      ticks.at = performance.now();
      return Promise.resolve();
    },
    tickedAgoMs: () => performance.now() - ticks.at,
    log: pino({ level: 'warn' }, { write: (line) => void lines.push((JSON.parse(line) as { msg: string }).msg) }),
  });
  const others = async (everyMs: number, forMs: number) => {
    for (let past = 0; past < forMs; past += everyMs) {
      await vi.advanceTimersByTimeAsync(everyMs);
      ticks.at = performance.now();
    }
  };
  return { lines, ticks, others, stop: () => clearInterval(timer) };
}

test('while the queue ticks, nobody sweeps by himself, and nothing is said', async () => {
  const { lines, ticks, others, stop } = watcher();
  await others(1000, 30_000);
  await others(1400, 30_000); // a little late
  expect([ticks.own, lines]).toEqual([0, []]);
  stop();
});

test('a queue that is silent is told of by each replica that sweeps without it, also when others do most of it', async () => {
  const { lines, ticks, others, stop } = watcher();
  await others(1000, 10_000);
  await others(1600, 20_000);
  expect([ticks.own, lines]).toEqual([0, []]);
  await vi.advanceTimersByTimeAsync(2000);
  expect([ticks.own, lines]).toEqual([1, ['jobs: the queue is silent, sweeping without it']]);
  stop();
});

test('when the queue is back, a tick that it misses is made up for, and no more is said', async () => {
  const { lines, ticks, others, stop } = watcher();
  await vi.advanceTimersByTimeAsync(20_000);
  expect(lines).toHaveLength(1);
  await others(1000, 20_000);
  const before = ticks.own;
  await vi.advanceTimersByTimeAsync(2000);
  expect([ticks.own - before, lines.length]).toEqual([1, 1]);
  stop();
});
