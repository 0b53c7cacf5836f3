import { expect, onTestFinished, test, vi } from 'vitest';
import { Divergence } from '../../src/redis/follow/divergence.js';
import type { Table } from '../../src/registry/table/table.js';
import type { Source } from '../../src/redis/scripts/store.js';
import { CALLER, complete } from '../helpers/store.js';
import { until } from '../helpers/until.js';
import { openReplicas, type Replica } from './helpers/replica.js';

/** Three instances, of which this replica has lost the first, nobody knows how. */
async function openDiverged(count: number) {
  const opened = await openReplicas(count);
  const [one] = opened.replicas as [Replica];
  for (const instanceId of ['lost', 'b', 'c']) await one.registry.register(complete({ instanceId }), CALLER);
  for (const { view } of opened.replicas) await until(() => view.table.members.size === 3);
  const { table, ring } = one.view;
  const first = ring.since(ring.first).find(({ record }) => record.instanceId === 'lost');
  if (!first) throw new Error('it was read');
  table.apply({ ...first, kind: 'removed', id: table.position.id });
  expect(one.view.table.members.has('lost')).toBe(false);
  return { ...opened, one };
}

test('a beat of an instance that the view does not know is proof: everything is read anew, once', async () => {
  const { one, raw, keys } = await openDiverged(1);
  await raw.xadd(keys.beats, '*', 'ids', 'nobody'); // by hand: no proof
  await one.registry.heartbeat([{ instanceId: 'lost' }]);
  await until(() => one.seen.loads.includes('diverged'));
  expect(one.view.table.members.has('lost')).toBe(true);
  expect(one.seen.divergences).toEqual(['beat']);
});

test('two replicas whose content differs at one position for longer than a second read everything anew', async () => {
  const { one, replicas } = await openDiverged(2);
  await until(() => one.seen.loads.includes('diverged'), 10_000);
  expect(one.view.table.members.has('lost')).toBe(true);
  expect(one.seen.divergences).toEqual(['tag']);
  expect(replicas.map(({ view }) => view.table.content.etag)).toEqual(replicas.map(() => one.view.table.content.etag));
});

test('replicas that began at the same moment do not go on saying what they hold at the same moments, or one would never hear the other', () => {
  vi.useFakeTimers({ toFake: ['performance'] });
  onTestFinished(() => void vi.useRealTimers());
  const table = { position: { epoch: 'e', id: '1-0' }, content: { etag: 'x' } } as unknown as Table;
  const [one, other] = [new Divergence({} as Source), new Divergence({} as Source)];
  let [said, together] = [0, 0];
  for (let ms = 0; ms < 60_000; ms += 20) {
    const [mine, theirs] = [one.say(table), other.say(table)];
    if (mine !== '') said++;
    if (mine !== '' && theirs !== '') together++;
    vi.advanceTimersByTime(20);
  }
  expect(said).toBeGreaterThan(40);
  expect(together).toBeLessThan(said / 2);
});
