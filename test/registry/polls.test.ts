import { setImmediate as turn } from 'node:timers/promises';
import { getEventListeners } from 'node:events';
import { expect, test, vi } from 'vitest';
import { MAX_LIMIT } from '../../src/contract/index.js';
import { Answer } from '../../src/registry/table/answer.js';
import { Polls } from '../../src/registry/view/polls.js';
import type { Discovery } from '../../src/registry/queries.js';
import { record, type Sample } from './sample.js';

const GAME: Discovery = { type: 'game', group: 'kr-1', limit: MAX_LIMIT };
/** Something changed in the groups of these records. */
const news = (...samples: Sample[]) => {
  const records = samples.map((sample) => record(sample));
  return { homes: new Set(records.map(({ type, group }) => `${type}:${group}`)), records };
};
const KR = news({ type: 'game', group: 'kr-1' });
const US = news({ type: 'game', group: 'us-1' });
const queriesOf = (asked: ReturnType<typeof answered>) => asked.mock.calls.map(([query]) => query);
const answered = (etag: string) => vi.fn((_query: Discovery) => new Answer(etag, () => [() => Buffer.from('')]));
const knows = (known: string) => (etag: string) => etag === known;

/** A poll under way, and whether it is over. */
function begin(polls: Polls, query = GAME, { known = '"1"', timeoutMs = 60_000, signal = new AbortController().signal } = {}) {
  const poll = { over: false, done: Promise.resolve() };
  poll.done = polls.wait(query, knows(known), timeoutMs, signal).then(() => void (poll.over = true));
  return poll;
}

test('a poll ends when the answer is another than the known one, and only then', async () => {
  const polls = new Polls();
  const [same, other] = [begin(polls), begin(polls, GAME, { known: '"2"' })];
  polls.changed(KR, answered('"1"'));
  await other.done;
  expect([same.over, polls.waiting]).toEqual([false, 1]);
  polls.changed(undefined, answered('"3"'));
  await same.done;
  expect(polls.waiting).toBe(0);
});

test('a change in another group is not looked at; one query is answered once, however many ask it; a wider one is looked at for any of its records', async () => {
  const polls = new Polls();
  const all = Array.from({ length: 250 }, () => begin(polls));
  const wide = begin(polls, { type: 'game', limit: 10 });
  const unchanged = answered('"1"');
  polls.changed(US, unchanged);
  expect(queriesOf(unchanged).map(({ group }) => group)).toEqual([undefined]);
  const changed = answered('"2"');
  polls.changed(KR, changed);
  await Promise.all([wide.done, ...all.map(({ done }) => done)]);
  expect(changed).toHaveBeenCalledTimes(2);
  expect(polls.waiting).toBe(0);
});

test('many polls are answered a hundred at a time, and the others have their turn between', async () => {
  const polls = new Polls();
  for (let i = 0; i < 250; i++) begin(polls);
  polls.changed(undefined, answered('"2"'));
  const left = [polls.waiting];
  for (let i = 0; i < 2; i++) {
    await turn();
    left.push(polls.waiting);
  }
  expect(left).toEqual([150, 50, 0]);
});

test('a poll ends after its time, or when its caller leaves, and leaves neither timer nor listener', async () => {
  const polls = new Polls();
  const caller = new AbortController();
  await begin(polls, GAME, { timeoutMs: 5 }).done;
  const left = begin(polls, GAME, { signal: caller.signal });
  const changed = begin(polls, GAME, { signal: caller.signal, known: '"2"' });
  polls.changed(undefined, answered('"1"'));
  await changed.done;
  expect(getEventListeners(caller.signal, 'abort')).toHaveLength(1);
  caller.abort();
  await left.done;
  expect(getEventListeners(caller.signal, 'abort')).toHaveLength(0);
  expect(polls.waiting).toBe(0);
  const unasked = answered('"9"');
  polls.changed(undefined, unasked);
  expect(unasked).not.toHaveBeenCalled();
  await begin(polls, GAME, { signal: caller.signal }).done; // who has gone already does not wait
});

test('the end answers everybody, those who come afterwards at once', async () => {
  const polls = new Polls();
  const all = [...Array.from({ length: 150 }, () => begin(polls)), begin(polls, { limit: 1 })];
  polls.end();
  await Promise.all(all.map(({ done }) => done));
  await begin(polls).done;
  expect(polls.waiting).toBe(0);
});

test('who joins while the ones before are still being released is not lost', async () => {
  const polls = new Polls();
  for (let i = 0; i < 150; i++) begin(polls);
  polls.changed(undefined, answered('"2"'));
  const late = begin(polls, GAME, { known: '"2"' });
  await turn();
  await turn();
  expect([late.over, polls.waiting]).toEqual([false, 1]);
  polls.changed(KR, answered('"3"'));
  await late.done;
});

test('a query is looked at only for a record, before or after the change, that it is about', async () => {
  const polls = new Polls();
  const about: [Discovery, Sample][] = [
    [{ labels: { zone: 'a' }, limit: 10 }, { type: 'world', labels: { zone: 'a' } }],
    [{ type: 'game', statuses: ['error'], limit: 10 }, { group: 'us-9', status: 'error' }],
    [{ type: 'game', group: 'kr-1', limit: 3 }, { type: 'game', group: 'kr-1' }],
    [{ type: 'chat', group: 'us-1', labels: { constructor: '1' }, limit: MAX_LIMIT }, { type: 'chat', group: 'us-1', labels: { constructor: '1' } }],
    [{ scope: { groups: ['eu-*'] }, offline: true, limit: 10 }, { group: 'eu-7' }],
  ];
  about.forEach(([query]) => begin(polls, query));
  for (const [query, sample] of about) {
    const asked = answered('"1"');
    polls.changed(news({ type: 'none', group: 'none' }, sample, { type: 'none', group: 'other' }), asked);
    await vi.waitFor(() => expect(asked).toHaveBeenCalled());
    expect(queriesOf(asked)).toEqual([query]);
  }
  const asked = answered('"1"');
  polls.changed(news({ type: 'none', group: 'none', labels: { zone: 'b' } }), asked);
  expect(asked).not.toHaveBeenCalled();
});

test('more changes at once than are noted concern every query', () => {
  const polls = new Polls();
  for (let i = 0; i < 20; i++) begin(polls, { labels: { zone: `z-${i}` }, limit: 10 });
  const asked = answered('"1"');
  polls.changed({ homes: new Set(), records: Array.from({ length: 1001 }, () => record()) }, asked);
  expect(asked).toHaveBeenCalledTimes(20);
});

test('the answer of a query that is walked for is looked at ten times a second at most, and once more after the last change', async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
  const polls = new Polls();
  const poll = begin(polls, { type: 'game', limit: 10 });
  let etag = '"1"';
  const asked = vi.fn(() => new Answer(etag, () => [() => Buffer.from('')]));
  for (let ms = 0; ms < 1000; ms += 10) {
    if (ms === 990) etag = '"2"';
    polls.changed(KR, asked);
    await vi.advanceTimersByTimeAsync(10);
  }
  expect(asked.mock.calls.length).toBeLessThanOrEqual(11);
  await vi.advanceTimersByTimeAsync(100);
  await poll.done;
  vi.useRealTimers();
});

test('a poll that could not be looked at does not sleep through the change', async () => {
  const polls = new Polls();
  const [walked, whole] = [begin(polls, { type: 'game', limit: 10 }), begin(polls)];
  let away = true;
  polls.changed(KR, ({ group }) => {
    if (!away) return new Answer('"2"', () => [() => Buffer.from('')]);
    if (group === undefined) return Promise.reject(new Error('away'));
    throw new Error('away');
  });
  await turn();
  expect([walked.over, whole.over]).toEqual([false, false]);
  away = false;
  await Promise.all([walked.done, whole.done]);
});
