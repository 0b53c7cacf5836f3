import { setImmediate as turn } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { TurnShare } from '../../src/http/turn-share.js';

test('what comes together is done one a turn, the first at once, in order', async () => {
  const large = new TurnShare(1);
  const done: number[] = [];
  const after: number[] = [];
  for (let i = 0; i < 4; i++) large.run(1, () => done.push(i));
  for (let i = 0; i < 4; i++) {
    after.push(done.length);
    await turn();
  }
  expect(after).toEqual([1, 2, 3, 4]);
  expect(done).toEqual([0, 1, 2, 3]);
  await turn();
  large.run(1, () => done.push(4));
  expect(done).toHaveLength(5);
});
