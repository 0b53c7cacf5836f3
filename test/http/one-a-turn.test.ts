import { setImmediate as turn } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { OneATurn } from '../../src/http/one-a-turn.js';

test('what comes together is done one a turn, the first at once, in order', async () => {
  const large = new OneATurn();
  const done: number[] = [];
  const after: number[] = [];
  for (let i = 0; i < 4; i++) large.run(() => done.push(i));
  for (let i = 0; i < 4; i++) {
    after.push(done.length);
    await turn();
  }
  expect(after).toEqual([1, 2, 3, 4]);
  expect(done).toEqual([0, 1, 2, 3]);
  await turn();
  large.run(() => done.push(4));
  expect(done).toHaveLength(5);
});
