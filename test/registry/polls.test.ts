import { setImmediate as turn } from 'node:timers/promises';
import { getEventListeners } from 'node:events';
import { expect, test, vi } from 'vitest';
import { Answer } from '../../src/registry/answer.js';
import { Polls } from '../../src/registry/polls.js';
import type { Discovery } from '../../src/registry/queries.js';

const GAME: Discovery = { type: 'game', group: 'kr-1', limit: 10 };
const answered = (etag: string) => vi.fn((_query: Discovery) => new Answer(etag, () => Buffer.from('')));
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
  polls.changed(new Set(['game:kr-1']), answered('"1"'));
  await other.done;
  expect([same.over, polls.waiting]).toEqual([false, 1]);
  polls.changed(undefined, answered('"3"'));
  await same.done;
  expect(polls.waiting).toBe(0);
});

test('a change in another group is not looked at; one query is answered once, however many ask it; a wider query always is', async () => {
  const polls = new Polls();
  const all = Array.from({ length: 250 }, () => begin(polls));
  const wide = begin(polls, { type: 'game', limit: 10 });
  const unchanged = answered('"1"');
  polls.changed(new Set(['game:us-1']), unchanged);
  expect(unchanged.mock.calls.map(([{ group }]) => group)).toEqual([undefined]);
  const changed = answered('"2"');
  polls.changed(new Set(['game:kr-1']), changed);
  expect(changed).toHaveBeenCalledTimes(2);
  await Promise.all([wide.done, ...all.map(({ done }) => done)]);
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
  polls.changed(new Set(['game:kr-1']), answered('"3"'));
  await late.done;
});
