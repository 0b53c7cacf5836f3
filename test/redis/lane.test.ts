import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { Lane } from '../../src/redis/scripts/lane.js';

beforeEach(() => void vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] }));
afterEach(() => void vi.useRealTimers());

/** Calls that note that they were sent, and come back when they are told to. */
function wire() {
  const open: { name: string; answer: () => void; fail: () => void }[] = [];
  const sent: string[] = [];
  const calls = (batch: string, count: number, work = 250) =>
    Array.from({ length: count }, (_, i) => ({ work, send: () => {
      const name = `${batch}${i}`;
      sent.push(name);
      return new Promise<string>((resolve, reject) => open.push({ name, answer: () => resolve(name), fail: () => reject(new Error(name)) }));
    } }));
  return { sent, open, calls };
}
const settled = () => new Promise<void>((resolve) => setImmediate(resolve));

test('four calls of the largest are on the wire at a time, and the first of them within the turn in which a batch is given', async () => {
  const { sent, open, calls } = wire();
  const lane = new Lane();
  const [first, second] = [lane.all(calls('a', 6)), lane.all(calls('b', 2))];
  expect(sent).toEqual(['a0', 'a1', 'a2', 'a3']);
  while (open.length > 0) {
    open.shift()?.answer();
    await settled();
    expect(open.length).toBeLessThanOrEqual(4);
  }
  expect(await first).toEqual(['a0', 'a1', 'a2', 'a3', 'a4', 'a5']);
  expect(await second).toEqual(['b0', 'b1']);
});

test('small batches wait for nobody: it is their work that is counted', () => {
  const { sent, calls } = wire();
  const lane = new Lane();
  for (let i = 0; i < 100; i++) void lane.all(calls(`${i}-`, 1, 10));
  expect(sent).toHaveLength(100);
});

test('where nothing comes back for a while one more goes out each time, so a far Redis is waited for once', async () => {
  const { sent, open, calls } = wire();
  const lane = new Lane();
  const all = lane.all(calls('a', 60));
  await vi.advanceTimersByTimeAsync(600);
  expect(sent).toHaveLength(60);
  for (const { answer } of open) answer();
  expect(await all).toHaveLength(60);
});

test('what is behind a call that failed is not sent, and other batches are', async () => {
  const { sent, open, calls } = wire();
  const lane = new Lane();
  const [first, second] = [lane.all(calls('a', 6)), lane.all(calls('b', 2))];
  open[1]?.fail();
  await expect(first).rejects.toThrow('a1');
  await settled();
  for (const { answer } of open) answer();
  await settled();
  for (const { answer } of open) answer();
  expect(await second).toEqual(['b0', 'b1']);
  expect(sent).toEqual(['a0', 'a1', 'a2', 'a3', 'b0', 'b1']);
});

test('a batch whose turn does not come for a second is refused, and nothing of it is sent later', async () => {
  const { sent, open, calls } = wire();
  const lane = new Lane();
  const first = lane.all(calls('a', 500));
  const behind = lane.all(calls('b', 1));
  const refusals = Promise.all([first, behind].map((batch) => batch.catch((error: { code: string }) => error.code)));
  await vi.advanceTimersByTimeAsync(1100);
  expect(await refusals).toEqual(['overloaded', 'overloaded']);
  const before = sent.length;
  for (const { answer } of open) answer();
  await vi.advanceTimersByTimeAsync(1000);
  expect(sent).toHaveLength(before);
});
