import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { Waits } from '../../src/registry/view/waits.js';

const LIMIT_MS = 1234; // by which its timers are known from those of others in this process
beforeEach(() => {
  vi.useFakeTimers();
  vi.spyOn(globalThis, 'setTimeout');
  vi.spyOn(globalThis, 'clearTimeout');
});
afterEach(() => {
  vi.restoreAllMocks();
  vi.useRealTimers();
});

/** Limits of waits that were set and not cleared. */
function limits() {
  const { calls, results } = vi.mocked(setTimeout).mock;
  const cleared = new Set(vi.mocked(clearTimeout).mock.calls.map(([timer]) => timer));
  return results.filter(({ value }, i) => calls[i]?.[1] === LIMIT_MS && !cleared.has(value as NodeJS.Timeout)).length;
}

const refused = { code: 'store_unavailable' };

test('who waits goes on with the first look that is far enough, and not before', async () => {
  const [waits, done] = [new Waits(), vi.fn()];
  let at = 0;
  for (const wanted of [1, 2]) void waits.until(() => at >= wanted, LIMIT_MS).then(() => done(wanted));
  waits.check();
  await vi.advanceTimersByTimeAsync(0);
  expect(done).not.toHaveBeenCalled();
  at = 1;
  waits.check();
  await vi.advanceTimersByTimeAsync(0);
  expect(done.mock.calls).toEqual([[1]]);
  expect(limits()).toBe(1);
  at = 2;
  waits.check();
  await vi.advanceTimersByTimeAsync(0);
  expect([done.mock.calls, limits()]).toEqual([[[1], [2]], 0]);
});

test('what is there already is not waited for', async () => {
  await new Waits().until(() => true, LIMIT_MS);
  expect(limits()).toBe(0);
});

test('a wait ends refused after its time, and is looked at no more', async () => {
  const [waits, isOver] = [new Waits(), vi.fn(() => false)];
  const wait = expect(waits.until(isOver, LIMIT_MS)).rejects.toMatchObject(refused);
  await vi.advanceTimersByTimeAsync(LIMIT_MS);
  await wait;
  const looks = isOver.mock.calls.length;
  waits.check();
  expect(isOver).toHaveBeenCalledTimes(looks);
});

test('one of several waits may begin another when it ends', async () => {
  const waits = new Waits();
  let open = false;
  const first = waits.until(() => open, LIMIT_MS).then(() => waits.until(() => open, LIMIT_MS));
  open = true;
  waits.check();
  await first;
  expect(limits()).toBe(0);
});
