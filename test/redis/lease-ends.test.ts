import { expect, test } from 'vitest';
import { takePulse } from '../../src/redis/log/pulse.js';
import { LeaseEnds } from '../../src/redis/load/lease-ends.js';
import { openRegistry } from '../helpers/gateway.js';
import { CALLER, complete, redisNow } from '../helpers/store.js';

test('reading all ends may take as long as it likes: beats are followed from its beginning on, and it is not due again at its end', async () => {
  const { registry, store, view, raw } = await openRegistry();
  for (const instanceId of ['a', 'b']) await registry.register(complete({ instanceId }), CALLER);
  await registry.discover({ limit: 10 });
  const ends = new LeaseEnds(store);
  const pulse = await takePulse(store.connection, store.scripts);
  const judge = (nowMs: number) => ends.judge(view.table, { ...pulse, nowMs, judgedMs: 0 });
  expect(judge(await redisNow(raw)), 'nothing is known at first').toBe('gap');
  await ends.rescore(view.table);
  const begunAt = await redisNow(raw);
  for (const seconds of [6, 12, 18]) expect(judge(begunAt + seconds * 1000)).toBe('waits');
  while (ends.reading) await ends.goOn(false);
  expect(judge(begunAt + 24_000)).toBe('done');
  expect(judge(begunAt + 35_000), 'a gap in the beats').toBe('gap');
});

test('what is left to read of the log comes first, but not for ever', async () => {
  const { store, view } = await openRegistry();
  const ends = new LeaseEnds(store);
  await ends.rescore(view.table);
  let reads = 0;
  for (; ends.reading && reads < 100; reads++) await ends.goOn(true);
  expect(reads).toBeGreaterThan(10);
  expect(ends.reading).toBe(false);
});
