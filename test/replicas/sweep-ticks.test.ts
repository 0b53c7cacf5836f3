import { expect, onTestFinished, test } from 'vitest';
import { startFleet } from '../helpers/fleet.js';
import { redisNow } from '../helpers/store.js';
import { jobEvents } from '../helpers/sweep-jobs.js';
import { until } from '../helpers/until.js';

/** `SWEEP_SECONDS=60` for the long run. */
const SECONDS = Number(process.env.SWEEP_SECONDS || 8);
const SPAN_MS = SECONDS * 1000;

/** When a job was due: the queue writes it into the id. */
const dueAt = (jobId: string) => Number(jobId.split(':').at(-1));

test('the sweep runs once across replicas: one job a tick, and none completed twice', { timeout: SPAN_MS + 30_000 }, async () => {
  const { raw, stop } = await startFleet({ env: { SWEEP_INTERVAL_MS: '1000' } });
  onTestFinished(stop);
  await until(async () => (await jobEvents(raw)).completed.length > 1);

  const from = await redisNow(raw);
  const to = from + SPAN_MS;
  await until(async () => (await jobEvents(raw)).completed.some((id) => dueAt(id) >= to), SPAN_MS + 10_000, 100);
  const { completed, failed, stalled } = await jobEvents(raw);

  const ticks = completed.filter((id) => dueAt(id) >= from && dueAt(id) < to).length;
  const twice = completed.length - new Set(completed).size;
  console.log(`3 replicas, 1 s ticks, ${SECONDS} s: ${ticks} sweep jobs completed, ${twice} of them twice`);
  expect(Math.abs(ticks - SECONDS)).toBeLessThanOrEqual(1);
  expect({ twice, failed, stalled }).toEqual({ twice: 0, failed: [], stalled: [] });
});
