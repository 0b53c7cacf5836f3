import { setImmediate as turn } from 'node:timers/promises';
import fc from 'fast-check';
import { expect, onTestFinished, test, vi } from 'vitest';
import { Answers } from '../../src/registry/table/answers.js';
import type { Group } from '../../src/registry/table/group.js';
import type { Discovery } from '../../src/registry/queries.js';
import { LOOKED_AT_A_TURN, Slices, type Sliced } from '../../src/registry/table/slices.js';
import { Table } from '../../src/registry/table/table.js';
import { PAGE_BYTES, Walk } from '../../src/registry/table/walk.js';
import { change, EPOCH, idAt, record, T0 } from './sample.js';

const GROUPS = ['a:x', 'a:x.1', 'a-b:x', 'b:x'];
const IDS = Array.from({ length: 12 }, (_, i) => `i-${i}`);
let seq = 0;

function register(table: Table, instanceId: string, home: string, fields: object = {}) {
  const [type = '', group = ''] = home.split(':');
  table.apply(change(idAt(T0, ++seq), 'registered', record({ instanceId, type, group, ...fields })));
}

function remove(table: Table, instanceId: string) {
  const known = table.members.get(instanceId);
  if (known) table.apply(change(idAt(T0, ++seq), 'removed', known.record));
}

const id = fc.constantFrom(...IDS);
const home = fc.constantFrom(...GROUPS);
const step = fc.oneof(
  { weight: 4, arbitrary: fc.record({ verb: fc.constant('register' as const), id, home, zone: fc.constantFrom('1', '2') }) },
  { weight: 1, arbitrary: fc.record({ verb: fc.constant('remove' as const), id }) },
  { weight: 4, arbitrary: fc.record({ verb: fc.constant('slice' as const), budget: fc.constantFrom(1, 2, 5) }) },
);
const query: fc.Arbitrary<Discovery> = fc.record(
  {
    type: fc.constantFrom('a', 'b', 'c'),
    group: fc.constantFrom('x', 'x.1'),
    labels: fc.constant({ zone: '1' }),
    after: fc.tuple(home, id).map((parts) => parts.join(':')),
    offline: fc.constant(true),
    limit: fc.constantFrom(1, 3, 100),
  },
  { requiredKeys: ['limit'] },
);

const bodyOf = (walk: Walk) => Buffer.concat(walk.result.encode().map((make) => make())).toString();

test('what is found in slices, while things change between them, is what one look finds at the end', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 80 }), query, (steps, asked) => {
      const table = new Table({ epoch: EPOCH, id: '' }, 100_000);
      for (const [i, one] of IDS.entries()) register(table, one, GROUPS[i % GROUPS.length] as string, { labels: { zone: `${i % 2}` } });
      const walk = new Walk(table, asked);
      for (const one of steps) {
        if (walk.done) break;
        if (one.verb === 'register') register(table, one.id, one.home, { labels: { zone: one.zone } });
        else if (one.verb === 'remove') remove(table, one.id);
        else walk.step(one.budget);
      }
      if (!walk.done) walk.step(Infinity); // else nothing changed since
      const whole = new Walk(table, asked);
      whole.step(Infinity);
      expect([walk.result.etag, bodyOf(walk)]).toEqual([whole.result.etag, bodyOf(whole)]);
      expect(table.news.walks.size).toBe(0);
    }),
    { numRuns: 500 },
  );
});

function fleet(count: number, perGroup: number) {
  const table = new Table({ epoch: EPOCH, id: '' }, 100_000);
  for (let i = 0; i < count; i++) register(table, `i-${i}`, `game:g-${Math.floor(i / perGroup)}`, { ttlSeconds: 3600 });
  table.advance(T0, 0);
  return table;
}

test('however many different queries are asked at once, a turn looks at no more than its share, and the others go on', async () => {
  const table = fleet(6000, 100);
  let [looked, most] = [0, 0];
  const slices = new Slices();
  const run = slices.run.bind(slices);
  vi.spyOn(slices, 'run').mockImplementation((work) => {
    const step = work.step.bind(work);
    work.step = (budget) => {
      const count = step(budget);
      looked += count;
      return count;
    };
    return run(work);
  });
  const answers = new Answers(table, slices);
  const all = Array.from({ length: 50 }, async (_, i) => answers.ask({ labels: { zone: `z-${i}` }, limit: 10 }, performance.now()));
  const over = { is: false };
  const done = Promise.all(all).then(() => void (over.is = true));
  for (let turns = 0; !over.is; turns++) {
    most = Math.max(most, looked);
    looked = 0;
    expect(turns).toBeLessThan(1000);
    await turn();
  }
  await done;
  expect(most).toBeLessThanOrEqual(2 * LOOKED_AT_A_TURN + 100); // what was asked in this turn, and the slice at its end
  expect(table.news.walks.size).toBe(0);
});

test('one query that many ask is walked for once', async () => {
  const table = fleet(6000, 100);
  const answers = new Answers(table);
  const asked = Array.from({ length: 50 }, async () => answers.ask({ labels: { zone: 'none' }, limit: 10 }, performance.now()));
  expect(table.news.walks.size).toBe(1);
  expect(new Set(await Promise.all(asked)).size).toBe(1);
});

test('work that fails is told to who asked for it, and the rest goes on', async () => {
  const slices = new Slices();
  const spent = { done: false, step: (budget: number) => budget };
  const failing: Sliced = { done: false, step: () => { throw new Error('no'); } };
  const short = { done: false, step: () => ((short.done = true), 1) };
  void slices.run(spent);
  const failed = slices.run(failing);
  const [first] = [slices.run(short)];
  await expect(failed).rejects.toThrow('no');
  await first;
  expect(short.done).toBe(true);
  spent.done = true; // or it would go on for ever
});

test('a page ends at a number of bytes, and the pages together hold everything once', () => {
  const table = new Table({ epoch: EPOCH, id: '' }, 100_000);
  const count = 1200;
  for (let i = 0; i < count; i++) register(table, `i-${10_000 + i}`, 'game:kr-1', { systemInfo: { text: 'x'.repeat(8000) } });
  table.advance(T0, 0);
  const answers = new Answers(table);
  const ids: string[] = [];
  const sizes: number[] = [];
  for (let after: string | undefined; ; ) {
    const answer = answers.answer({ type: 'game', group: 'kr-1', limit: 10_000, ...(after !== undefined && { after }) }, performance.now());
    const { instances, next } = answer.read() as { instances: { instanceId: string }[]; next?: string };
    sizes.push(answer.body.length);
    ids.push(...instances.map(({ instanceId }) => instanceId));
    if ((after = next) === undefined) break;
  }
  expect(ids).toEqual([...table.members.keys()].sort());
  expect(sizes.length).toBe(2);
  expect(Math.max(...sizes)).toBeLessThan(PAGE_BYTES + 300 * count);
});

test('a walk gets on while something changes in every turn', () => {
  const table = fleet(3000, 100);
  const walk = new Walk(table, { limit: 10_000 });
  for (let slices = 0; !walk.done; slices++) {
    expect(slices).toBeLessThan(100);
    walk.step(200);
    register(table, 'i-0', 'game:g-0', { customState: `${slices}`, ttlSeconds: 3600 });
  }
});

test('the first of those that have left is found without looking at the others', () => {
  const table = fleet(3000, 100);
  for (let i = 0; i < 2000; i++) remove(table, `i-${i}`);
  const walk = new Walk(table, { offline: true, limit: 1 });
  expect(walk.step(Infinity)).toBeLessThan(10);
  expect(walk.done).toBe(true);
});

test('answers that nobody asks for again are not kept, nor are their pages once written', async () => {
  const table = fleet(10, 10);
  const answers = new Answers(table);
  const ask = () => new WeakRef(answers.answer({ limit: 10 }, performance.now()));
  const ref = ask();
  ref.deref()?.body.toString();
  expect(answers.kept).toBe(1);
  await vi.waitFor(() => expect(answers.kept).toBe(0), 5000);
});

test('the bytes of a group that nobody asks for any more are dropped after some seconds, those of one that is asked for are not', async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
  onTestFinished(() => void vi.useRealTimers());
  const table = fleet(300, 300);
  const answers = new Answers(table);
  const [group] = [...table.groups] as [Group];
  const ask = () => answers.answer({ type: group.type, group: group.group, limit: 10_000 }, performance.now());
  const pieces = () => group.parts(0).map((make) => make());
  const first = ask();
  expect(first.body.length).toBeGreaterThan(1000);
  const before = pieces();
  for (let second = 0; second < 10; second++) {
    await vi.advanceTimersByTimeAsync(1000);
    expect(ask()).toBe(first);
  }
  expect(pieces().every((bytes, i) => bytes === before[i])).toBe(true);
  await vi.advanceTimersByTimeAsync(7000);
  expect(group.answer).toBeUndefined();
  expect(pieces()[0]).not.toBe(before[0]);
  expect(ask().body).toEqual(first.body);
});

test('the bytes of a small group are kept once: in its answer', () => {
  const [group] = [...fleet(100, 100).groups] as [Group];
  const bytes = () => group.parts(0)[0]?.();
  expect(bytes()).toEqual(bytes());
  expect(bytes()).not.toBe(bytes());
});
