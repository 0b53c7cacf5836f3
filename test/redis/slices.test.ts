import { expect, test } from 'vitest';
import type { Entry } from '../../src/redis/log/log-entry.js';
import { LogTail } from '../../src/redis/log/log-tail.js';
import { inSlices, lettersOf } from '../../src/redis/log/slices.js';
import { openRegistry } from '../helpers/gateway.js';

const entryOf = (letters: number): Entry => ['1-1', ['ids', 'x'.repeat(letters)]];

test.each([[250, 225_000, 250], [250, 16_000, 28], [250, 600, 2], [3, 10, 1], [0, 0, 0]])('%i entries of %i letters are applied in %i slices, a turn apart', async (count, letters, slices) => {
  let [turns, counted, taken] = [0, 0, 0];
  const tick = () => {
    turns++;
    if (taken < count) setImmediate(tick);
  };
  setImmediate(tick);
  for await (const some of inSlices(Array.from({ length: count }, () => entryOf(letters)))) {
    counted++;
    taken += some.length;
    expect(some.slice(0, -1).reduce((sum, entry) => sum + lettersOf(entry), 0)).toBeLessThanOrEqual(128 * 1024);
  }
  expect([taken, counted]).toEqual([count, slices]);
  expect(turns).toBeGreaterThanOrEqual(counted - 1);
});

test('where entries are large, few of them are read at once', async () => {
  const { store, raw, keys } = await openRegistry();
  const tail = new LogTail(store);
  const fill = async (count: number, letters: number) => {
    for (let i = 0; i < count; i++) await raw.xadd(keys.beats, '*', 'ids', 'nobody', 'performance', 'x'.repeat(letters));
  };
  const read = async () => {
    const { beats = [] } = (await tail.read()) ?? {};
    tail.places.beats = beats.at(-1)?.[0] ?? tail.places.beats;
    return beats.length;
  };
  await fill(1, 200_000);
  expect(await read()).toBe(1);
  await fill(60, 200_000);
  expect(await read()).toBeLessThanOrEqual(24);
  expect(await read()).toBeGreaterThan(10);
  for (let i = 0; i < 60; i++) await read(); // it forgets
  await fill(100, 10);
  expect(await read()).toBe(100);
});
