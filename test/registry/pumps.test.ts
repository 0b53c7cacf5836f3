import { setImmediate as turn } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { Pumps, SERVED_A_TURN } from '../../src/registry/watch/pumps.js';
import type { Watcher } from '../../src/registry/watch/watcher.js';

const KIB = 1024;

/** Watchers that lack so many pieces of this size each, and how many pieces were written between two turns. */
function crowd(count: number, pieces: number, bytes: number) {
  const pumps = new Pumps();
  const written = Array.from({ length: count }, () => 0);
  for (let i = 0; i < count; i++) {
    const watcher = {
      pump: () => ((written[i] = (written[i] as number) + 1), bytes),
      reading: true,
      get current() {
        return written[i] === pieces;
      },
    };
    pumps.add(watcher as unknown as Watcher);
  }
  return { pumps, written, total: () => written.reduce((sum, one) => sum + one, 0) };
}

async function turns({ pumps, total }: ReturnType<typeof crowd>) {
  const each: number[] = [];
  while (pumps.waiting > 0) {
    const before = total();
    await turn();
    if (total() > before) each.push(total() - before);
  }
  return each;
}

test('a turn writes 2 MiB and one piece more at most, to each a piece in turn', async () => {
  const many = crowd(30, 3, 256 * KIB);
  const each = await turns(many);
  expect(Math.max(...each)).toBeLessThanOrEqual(9);
  expect(many.written).toEqual(Array(30).fill(3));
});

test('a turn serves 128 at most, however little each is sent', async () => {
  const many = crowd(3 * SERVED_A_TURN + 48, 1, 10);
  const each = await turns(many);
  expect(each).toEqual([128, 128, 128, 48]);
});

test('that something is published in a turn again and again does not serve more of them', async () => {
  const many = crowd(3 * SERVED_A_TURN, 1, 10);
  for (let i = 0; i < 10; i++) many.pumps.turn();
  expect(many.total()).toBe(SERVED_A_TURN);
  await turn();
  expect(many.total()).toBeLessThanOrEqual(2 * SERVED_A_TURN);
});
