import { setImmediate as turn } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { GroupCounts, GroupWalk } from '../../src/registry/table/group-counts.js';
import { Slices } from '../../src/registry/table/slices.js';
import { Table } from '../../src/registry/table/table.js';
import { change, EPOCH, idAt, record, T0 } from './sample.js';

let seq = 0;
const register = (table: Table, group: string, instanceId = `i-${group}`) => void table.apply(change(idAt(T0, ++seq), 'registered', record({ instanceId, type: 'game', group, ttlSeconds: 3600 })));
function fleet(count: number) {
  const table = new Table({ epoch: EPOCH, id: '' }, 100_000);
  for (let i = 0; i < count; i++) register(table, `g-${i}`);
  table.advance(T0, 0);
  return table;
}

test('a slice counts a share of the groups, all of them take several, and what was counted is not counted again', () => {
  const table = fleet(1000);
  let counted = 0;
  for (const group of table.groups) {
    const count = group.count.bind(group);
    (group).count = (nowMs) => (counted++, count(nowMs));
  }
  const walk = new GroupWalk(table);
  const slices: number[] = [];
  while (!walk.done) {
    const before = counted;
    walk.step(1000);
    slices.push(counted - before);
  }
  expect(Math.max(...slices)).toBeLessThanOrEqual(100);
  expect(counted).toBe(1000);
  const [first] = table.groups;
  expect(first?.count(T0)).toBe(first?.count(T0));
});

test('who asks meanwhile is given the same list, of what stands at its end', async () => {
  const table = fleet(2000);
  const counts = new GroupCounts(() => table, new Slices());
  const asked = [counts.ask(), counts.ask()];
  await turn();
  register(table, 'g-0', 'another');
  register(table, 'a-new');
  table.apply(change(idAt(T0, ++seq), 'removed', record({ instanceId: 'i-g-7', type: 'game', group: 'g-7' })));
  const [one, other] = await Promise.all(asked);
  expect(one).toBe(other);
  expect(one).toEqual(counts.list());
  expect(one).toHaveLength(2000);
  expect(one?.find(({ group }) => group === 'g-0')).toMatchObject({ instances: 2 });
});
