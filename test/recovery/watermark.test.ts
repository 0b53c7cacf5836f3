import { expect, onTestFinished, test } from 'vitest';
import { eventsIn } from '../helpers/events.js';
import { CALLER, complete, readStore } from '../helpers/store.js';
import { startRedis } from '../helpers/redis.js';
import { until } from '../helpers/until.js';
import { empty } from './helpers/loss.js';
import { ALL, expectSettled, openReplicas, shownBy, type Replica } from './helpers/replica.js';

const names = (count: number, stem = 'i') => Array.from({ length: count }, (_, i) => `${stem}-${i}`);
const registerAll = ({ registry }: Replica, ids: string[], ttlSeconds: number) =>
  Promise.all(ids.map((instanceId) => registry.register(complete({ instanceId, ttlSeconds }), CALLER)));
const caughtUp = (...replicas: Replica[]) => Promise.all(replicas.map(({ registry }) => registry.discover({ limit: 1 }, { strong: true })));

/** Looks at the views all the time: the fewest that any of them showed. */
function fewestShown(replicas: Replica[]) {
  const seen = { fewest: Infinity };
  const timer = setInterval(() => {
    for (const { view } of replicas) seen.fewest = Math.min(seen.fewest, view.answer(ALL).read().instances.length);
  }, 2);
  onTestFinished(() => clearInterval(timer));
  return { seen, stop: () => clearInterval(timer) };
}

test('nobody lapses while Redis does not have everything again: a replica whose word is refused holds its watermark', async () => {
  const redis = await startRedis(); // of its own: other tests write to the one that all share
  onTestFinished(() => redis.stop());
  const { replicas, raw, keys } = await openReplicas(1, redis.url);
  const [a] = replicas as [Replica];
  await registerAll(a, names(5), 1);
  await caughtUp(a);
  const { seen, stop } = fewestShown(replicas);
  await raw.config('SET', 'maxmemory', '1'); // what is not allowed when Redis is full is refused, as a restore is
  await empty(raw, keys);
  await until(() => a.view.table.position.id === '');
  const from = performance.now();
  await until(() => performance.now() - from > 2500);
  expect(seen.fewest).toBe(5);
  stop();
  await raw.config('SET', 'maxmemory', '0');
  await expectSettled(raw, keys, replicas);
  expect((await readStore(raw, keys)).records.size).toBe(5);
});

test('a Redis that was away for longer than every lease, and comes back empty: nobody is missing for a moment, and the dead leave within a lease', async () => {
  const { replicas, raw, keys } = await openReplicas(2);
  const [a, b] = replicas as [Replica, Replica];
  await registerAll(a, names(20), 1);
  await caughtUp(a, b);
  const { seen, stop } = fewestShown(replicas);
  for (const { gate } of replicas) gate.cut();
  const from = performance.now();
  await until(() => performance.now() - from > 3500);
  await empty(raw, keys);
  for (const { gate } of replicas) gate.mend();
  await until(() => a.seen.recoveries > 0 && b.seen.recoveries > 0);
  stop();
  expect(seen.fewest).toBe(20);
  const [restoredAt] = [performance.now()];
  await until(() => shownBy(a.view).length === 0 && shownBy(b.view).length === 0, 5000);
  expect(performance.now() - restoredAt).toBeLessThan(3000);
  const events = await eventsIn(raw, keys.events);
  expect(events.filter(({ kind }) => kind === 'restored')).toHaveLength(20);
});

test('held suspects stay listed when Redis is emptied during the hold', async () => {
  const { replicas, raw, keys } = await openReplicas(2);
  const [a, b] = replicas as [Replica, Replica];
  await registerAll(a, names(10), 2);
  await until(() => replicas.every(({ view }) => view.held === 1), 6000);
  await until(() => a.view.answer(ALL).read().instances.every(({ suspect }) => suspect));
  const { seen, stop } = fewestShown(replicas);
  await empty(raw, keys);
  await until(() => a.seen.recoveries > 0 && b.seen.recoveries > 0 && a.view.answer(ALL).etag === b.view.answer(ALL).etag);
  stop();
  expect(seen.fewest).toBe(10);
  await until(() => replicas.every(({ view }) => shownBy(view).length === 0), 8000);
  await until(() => replicas.every(({ view }) => view.held === 0), 15_000);
}, 40_000);
