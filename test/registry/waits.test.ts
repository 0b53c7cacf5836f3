import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { Waits } from '../../src/registry/waits.js';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());
const refused = { code: 'store_unavailable' };

test('who waits goes on with the first look that is far enough, and not before', async () => {
  const [waits, done] = [new Waits(), vi.fn()];
  let at = 0;
  for (const wanted of [1, 2]) void waits.until(() => at >= wanted, 1000).then(() => done(wanted));
  waits.check();
  await vi.advanceTimersByTimeAsync(0);
  expect(done).not.toHaveBeenCalled();
  at = 1;
  waits.check();
  await vi.advanceTimersByTimeAsync(0);
  expect(done.mock.calls).toEqual([[1]]);
  expect(vi.getTimerCount()).toBe(1);
  at = 2;
  waits.check();
  await vi.advanceTimersByTimeAsync(0);
  expect([done.mock.calls, vi.getTimerCount()]).toEqual([[[1], [2]], 0]);
});

test('what is there already is not waited for', async () => {
  await new Waits().until(() => true, 1000);
  expect(vi.getTimerCount()).toBe(0);
});

test('a wait ends refused after its time, and is looked at no more', async () => {
  const [waits, isOver] = [new Waits(), vi.fn(() => false)];
  const wait = expect(waits.until(isOver, 1000)).rejects.toMatchObject(refused);
  await vi.advanceTimersByTimeAsync(1000);
  await wait;
  const looks = isOver.mock.calls.length;
  waits.check();
  expect(isOver).toHaveBeenCalledTimes(looks);
});

test('one of several waits may begin another when it ends', async () => {
  const waits = new Waits();
  let open = false;
  const first = waits.until(() => open, 1000).then(() => waits.until(() => open, 1000));
  open = true;
  waits.check();
  await first;
  expect(vi.getTimerCount()).toBe(0);
});
