import { setImmediate as turn } from 'node:timers/promises';
import fastify from 'fastify';
import { expect, test, vi } from 'vitest';
import { installBodyParsing } from '../../src/http/requests/body.js';
import { TurnShare } from '../../src/http/replies/turn-share.js';

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

test('what comes next goes before whatever waits, in a turn of its own', async () => {
  const share = new TurnShare(1);
  const done: string[] = [];
  for (const name of ['a', 'b']) share.run(1, () => (done.push(name), share.runNext(1, () => done.push(`${name} again`))));
  const after: number[] = [];
  for (let i = 0; i < 4; i++) {
    after.push(done.length);
    await turn();
  }
  expect(done).toEqual(['a', 'a again', 'b', 'b again']);
  expect(after).toEqual([1, 2, 3, 4]);
});

test('a large body is read in one turn and passed on in another, and no two in the same', async () => {
  const app = fastify();
  installBodyParsing(app);
  let now = 0;
  const turns: number[] = [];
  app.post('/', () => (turns.push(now), Promise.resolve('')));
  const { parse } = JSON;
  const spied = vi.spyOn(JSON, 'parse').mockImplementation((text: string) => (text.length > 10_000 && turns.push(now), parse(text) as unknown));
  let over = false;
  const all = Promise.all(Array.from({ length: 5 }, () => app.inject({ method: 'POST', url: '/', headers: { 'content-type': 'application/json' }, payload: `["${'x'.repeat(20_000)}"]` })));
  void all.finally(() => (over = true));
  for (; !over; now++) await turn();
  spied.mockRestore();
  expect((await all).map(({ statusCode }) => statusCode)).toEqual(Array(5).fill(200));
  expect(turns).toHaveLength(10);
  expect(new Set(turns).size).toBe(10);
  await app.close();
});
