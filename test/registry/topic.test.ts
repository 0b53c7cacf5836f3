import { expect, test } from 'vitest';
import { sseFrames } from '../../src/http/replies/sse-frames.js';
import type { Change } from '../../src/registry/log/change.js';
import type { WatchQuery } from '../../src/registry/queries.js';
import { RecentFrames } from '../../src/registry/watch/recent-frames.js';
import { Ring } from '../../src/registry/log/ring.js';
import { revisionOf } from '../../src/registry/revision.js';
import { Table } from '../../src/registry/table/table.js';
import { Topic } from '../../src/registry/watch/topic.js';
import { change, EPOCH, idAt, record, T0 } from './sample.js';

const topicOf = (query: WatchQuery = {}) => new Topic(query, sseFrames);
const registered = (i: number, fields: Parameters<typeof record>[0] = {}, more: Partial<Change> = {}) =>
  change(idAt(T0 + i), 'registered', record({ instanceId: `i-${i}`, ...fields }), { prev: i > 0 ? idAt(T0 + i - 1) : '', ...more });
const many = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => registered(from + i));
const idsIn = (bytes: Buffer | undefined) => [...(bytes?.toString() ?? '').matchAll(/^id: 1x1\.(\S+)$/gm)].map(([, id]) => id);
const MAX_BEHIND = 1000;

test('a topic takes what is in its type, its group and its scope, and no more', () => {
  const queries: WatchQuery[] = [{ type: 'game' }, { group: 'kr-1' }, { type: 'chat', group: 'us-1' }, { scope: { types: ['ch*'] } }, {}];
  const changes = [registered(0), registered(1, { type: 'chat' }), registered(2, { type: 'chat', group: 'us-1' }), { ...registered(3), kind: undefined }];
  const taken = queries.map((query) => {
    const topic = topicOf(query);
    expect(topic.take(changes)).toBe(true);
    return idsIn(topic.since(0)?.bytes);
  });
  const [a, b, c] = changes.map(({ id }) => id);
  expect(taken).toEqual([[a], [a, b], [c], [b, c], [a, b, c]]);
  expect(topicOf({ type: 'world' }).take(changes)).toBe(false);
});

test('who moves out of a topic is removed from it, who moves in or within it is registered', () => {
  const move = registered(5, { type: 'chat', group: 'us-1', incarnation: 'life-2' }, { from: { type: 'game', group: 'kr-1' }, replaces: 'life-1' });
  const told = (query: WatchQuery) => topicOf(query).frameOf(move)?.toString();
  const data = JSON.parse(/^data: (.*)$/m.exec(told({ type: 'game' }) ?? '')?.[1] ?? '{}') as unknown;
  expect(told({ type: 'game' })).toContain('event: removed');
  expect(data).toMatchObject({ kind: 'removed', cause: 'moved', to: { type: 'chat', group: 'us-1' }, instance: { instanceId: 'i-5', incarnation: 'life-1', type: 'game', group: 'kr-1' } });
  for (const query of [{ type: 'chat' }, {}]) expect(told(query)).toContain('event: registered');
  expect(told({ type: 'world' })).toBeUndefined();
  // A leftover that is cleared away later names its old home only.
  expect(topicOf({ type: 'game' }).frameOf({ ...move, kind: 'expired' })).toBeUndefined();
});

test('a change is written down once for all topics', () => {
  const one = registered(1);
  const recent = new RecentFrames(sseFrames);
  expect(new Topic({}, sseFrames, recent).frameOf(one)).toBe(new Topic({ type: 'game' }, sseFrames, recent).frameOf(one));
});

test('the frames of changes that were told long ago are not held, nor more than some megabytes', () => {
  const recent = new RecentFrames(sseFrames);
  const topic = new Topic({}, sseFrames, recent);
  for (let i = 0; i < 3000; i++) topic.frameOf(registered(i, { systemInfo: { text: 'x'.repeat(i < 2000 ? 10 : 8000) } }));
  expect(recent.bytes).toBeLessThanOrEqual(8 * 1024 * 1024);
  const few = new RecentFrames(sseFrames);
  for (const one of many(0, 1500)) few.of(one);
  expect(few.size).toBe(1000);
});

test('from each number on there is exactly what followed, in order, and its last change', () => {
  const topic = topicOf();
  const all = many(0, 20);
  for (let at = 0; at < 20; at += 5) topic.take(all.slice(at, at + 5));
  expect(topic.end).toBe(20);
  for (let from = 0; from < 20; from++) {
    const since = topic.since(from);
    expect(idsIn(since?.bytes)).toEqual(all.slice(from).map(({ id }) => id));
    expect(since?.last).toBe(all.at(-1)?.id);
  }
  expect(topic.since(7)?.bytes).toBe(topic.since(7)?.bytes); // who is equally far shares the bytes
  topic.take(many(20, 21));
  expect(idsIn(topic.since(19)?.bytes)).toEqual([idAt(T0 + 19), idAt(T0 + 20)]);
});

test('a thousand changes are always held, far more never, and what is gone is not passed off as there', () => {
  const topic = topicOf();
  for (let at = 0; at < 10_000; at += 250) {
    topic.take(many(at, at + 250));
    const [end, oldest] = [topic.end, Math.max(0, topic.end - MAX_BEHIND)];
    expect(end).toBe(at + 250);
    expect(topic.holds(oldest)).toBe(true);
    expect(idsIn(topic.since(oldest)?.bytes)[0]).toBe(idAt(T0 + oldest));
    const gone = end - 2 * MAX_BEHIND - 1;
    if (gone >= 0) expect([topic.holds(gone), topic.since(gone)]).toEqual([false, undefined]);
  }
});

test('a backlog is what concerns the topic after a number of the ring', () => {
  const ring = new Ring(100);
  const all = [registered(0), registered(1, { type: 'chat' }), registered(2), registered(3, { type: 'chat' })];
  all.forEach((one) => ring.push(one));
  const topic = topicOf({ type: 'chat' });
  expect([...topic.backlog(ring, 0)].flatMap((bytes) => idsIn(bytes))).toEqual([all[1]?.id, all[3]?.id]);
  expect([...topic.backlog(ring, 2)].flatMap((bytes) => idsIn(bytes))).toEqual([all[3]?.id]);
  ring.push(registered(4, { type: 'chat' }));
  expect([...topic.backlog(ring, 2)]).toHaveLength(2);
});

test('a backlog is never that of another ring, as there is one after each load', () => {
  const [before, after] = [new Ring(100), new Ring(100)];
  many(0, 4).forEach((one) => before.push(one));
  many(100, 104).forEach((one) => after.push(one));
  const topic = topicOf();
  expect([...topic.backlog(before, 2)].flatMap((bytes) => idsIn(bytes))).toEqual([idAt(T0 + 2), idAt(T0 + 3)]);
  expect([...topic.backlog(after, 2)].flatMap((bytes) => idsIn(bytes))).toEqual([idAt(T0 + 102), idAt(T0 + 103)]);
});

const tableOf = (count: number) => {
  const table = new Table({ epoch: EPOCH, id: '' }, 1000);
  for (const one of many(0, count)) table.apply(one);
  return table;
};
const snapshotsOf = (topic: Topic, table: Table) =>
  [...topic.snapshot(table)].map((bytes) => JSON.parse(/^data: (.*)$/m.exec(bytes.toString())?.[1] ?? '') as { instances: { instanceId: string }[]; revision: string; more?: boolean });

test('a snapshot comes in frames of bounded size, of which only the last has a position', () => {
  const table = tableOf(2500);
  const frames = [...topicOf().snapshot(table)];
  const parts = snapshotsOf(topicOf(), table);
  expect(frames.map((bytes) => idsIn(bytes)).filter((ids) => ids.length > 0)).toEqual([[table.position.id]]);
  expect(parts.map(({ more }) => more)).toEqual([...Array.from({ length: parts.length - 1 }, () => true), undefined]);
  for (const bytes of frames) expect(bytes.length).toBeLessThan(400 * 1024);
  for (const { instances } of parts) expect(instances.length).toBeLessThanOrEqual(1000);
  expect(new Set(parts.flatMap(({ instances }) => instances.map(({ instanceId }) => instanceId))).size).toBe(2500);
  expect(snapshotsOf(topicOf({ type: 'none' }), table)).toEqual([{ instances: [], revision: revisionOf(table.position) }]);
  expect(snapshotsOf(topicOf(), tableOf(100))).toHaveLength(1);
});

test('who has lapsed and was not told of stands in a snapshot: the departure follows', () => {
  const table = tableOf(3);
  table.advance(T0 + 60_000, 0);
  expect([...table.groups][0]?.size).toBe(0);
  expect(snapshotsOf(topicOf(), table)[0]?.instances).toHaveLength(3);
});

test('many who come within a second are given the same bytes, made once, and what came since', () => {
  const [topic, table] = [topicOf(), tableOf(3000)];
  const first = topic.snapshot(table);
  table.apply(registered(3000));
  topic.take([registered(3000)]);
  const again = topic.snapshot(table);
  expect(again).toBe(first);
  expect([...again].every((bytes, i) => bytes === [...first][i])).toBe(true);
  expect(idsIn(topic.since(again.cursor)?.bytes)).toEqual([idAt(T0 + 3000)]);
  expect(topic.snapshot(tableOf(3))).not.toBe(first); // another table
});
