import { expect, test } from 'vitest';
import { sseFrames } from '../../src/http/sse-frames.js';
import type { Change } from '../../src/registry/change.js';
import type { WatchQuery } from '../../src/registry/queries.js';
import { Ring } from '../../src/registry/ring.js';
import { Table } from '../../src/registry/table.js';
import { Topic } from '../../src/registry/topic.js';
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
  expect(topicOf().frameOf(one)).toBe(topicOf({ type: 'game' }).frameOf(one));
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
const snapshotsOf = (topic: Topic, table: Table, revision: string) =>
  [...topic.snapshot(table, revision)].map((bytes) => JSON.parse(/^data: (.*)$/m.exec(bytes.toString())?.[1] ?? '') as { instances: { instanceId: string }[]; revision: string; more?: boolean });

test('a snapshot comes in frames of at most a thousand, of which only the last has a position', () => {
  const table = tableOf(2500);
  const frames = [...topicOf().snapshot(table, '1x1.9-9')];
  expect(frames.map((bytes) => idsIn(bytes))).toEqual([[], [], ['9-9']]);
  const parts = snapshotsOf(topicOf(), table, '1x1.9-9');
  expect(parts.map(({ instances, more }) => [instances.length, more])).toEqual([[1000, true], [1000, true], [500, undefined]]);
  expect(new Set(parts.flatMap(({ instances }) => instances.map(({ instanceId }) => instanceId))).size).toBe(2500);
  expect(snapshotsOf(topicOf({ type: 'none' }), table, '1x1.9-9')).toEqual([{ instances: [], revision: '1x1.9-9' }]);
  expect(snapshotsOf(topicOf(), tableOf(1000), 'x')).toHaveLength(1);
});

test('who has lapsed and was not told of stands in a snapshot: the departure follows', () => {
  const table = tableOf(3);
  table.advance(T0 + 60_000, 0);
  expect([...table.groups][0]?.size).toBe(0);
  expect(snapshotsOf(topicOf(), table, 'x')[0]?.instances).toHaveLength(3);
});

test('many who come at one revision are given the same bytes, at the next one others', () => {
  const [topic, table] = [topicOf(), tableOf(3)];
  const [first] = topic.snapshot(table, '1x1.1-1');
  expect([...topic.snapshot(table, '1x1.1-1')][0]).toBe(first);
  table.apply(registered(9));
  expect(snapshotsOf(topic, table, '1x1.2-1')[0]?.instances).toHaveLength(4);
});
