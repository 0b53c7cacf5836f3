import { beforeEach, expect, onTestFinished, test } from 'vitest';
import type { Reply } from '../../bench/faults/http.js';
import { Load, newLife, type Life } from '../../bench/faults/load.js';
import { Outages } from '../../bench/faults/outages.js';
import { SHORT } from '../../bench/faults/scale.js';
import { Witness } from '../../bench/faults/witness.js';

// Whoever judges must be able to say no: answers made by hand, each right or wrong in one way.
const TTL_MS = 3000;
let outages: Outages;
let load: Load;
let witness: Witness;
let life: Life;

beforeEach(() => {
  outages = new Outages();
  load = new Load({ members: [] }, SHORT);
  witness = new Witness({ members: [], balancer: undefined }, load, outages);
  const now = Date.now();
  life = Object.assign(newLife('a', 'g', TTL_MS), { state: 'alive', registeredAt: now - 60_000, renewedAt: now - 1000, triedAt: now - 1000 });
  load.lives.push(life);
  onTestFinished(() => load.stop());
});

function answer(ids: string[], { at = Date.now(), staleSeconds = 0 } = {}) {
  const text = JSON.stringify({ instances: ids.map((instanceId) => ({ instanceId })) });
  const headers = staleSeconds > 0 ? { 'x-stale-seconds': String(staleSeconds) } : {};
  const reply: Reply = { status: 200, headers, text, sentAt: at, receivedAt: at };
  witness.judge(reply, 'g', 'a replica');
  return { early: witness.counts.early, ghosts: witness.ghosts.size };
}

test('a live instance that is left out is an early drop', () => {
  expect(answer(['a'])).toEqual({ early: 0, ghosts: 0 });
  expect(answer(['b'])).toEqual({ early: 1, ghosts: 0 });
});

test('stale or not: who renewed in time must be there', () => {
  expect(answer([], { staleSeconds: 30 }).early).toBe(1);
});

test('nothing is demanded for one that registered a moment ago, or after the view went stale', () => {
  life.registeredAt = Date.now() - 500;
  expect(answer([]).early).toBe(0);
  life.registeredAt = Date.now() - 5000;
  expect(answer([], { staleSeconds: 30 }).early).toBe(0);
});

test('nothing is demanded for one whose own heartbeat came too late, except while nobody could beat and for one ttl after', async () => {
  life.renewedAt = Date.now() - TTL_MS - 500;
  expect(answer([])).toEqual({ early: 0, ghosts: 0 });
  expect(witness.counts.unproved).toBe(1);
  outages.begin();
  expect(answer([]).early).toBe(1);
  const back = await outages.end(() => undefined);
  expect(answer([], { at: back + TTL_MS - 100 }).early).toBe(2);
  expect(answer([], { at: back + TTL_MS + 100 }).early).toBe(2);
});

test('a dead instance may be shown until its lease has ended and 2 s more, then it is a ghost', () => {
  load.kill([life]);
  expect(answer(['a'], { at: life.triedAt + TTL_MS + 1900 }).ghosts).toBe(0);
  expect(answer(['a'], { at: life.triedAt + TTL_MS + 2100, staleSeconds: 2 }).ghosts).toBe(0);
  expect(answer(['a'], { at: life.triedAt + TTL_MS + 2100 }).ghosts).toBe(1);
});

test('a held group keeps its silent members for one ttl more', () => {
  outages.holds = true;
  load.kill([life]);
  expect(answer(['a'], { at: life.triedAt + 2 * TTL_MS + 1900 }).ghosts).toBe(0);
  expect(answer(['a'], { at: life.triedAt + 2 * TTL_MS + 2100 }).ghosts).toBe(1);
});

test('who was removed and is shown two seconds later has been revived', () => {
  Object.assign(life, { state: 'removed', goneAt: Date.now() });
  expect(answer(['a'], { at: life.goneAt + 1000 }).ghosts).toBe(0);
  expect(answer(['a'], { at: life.goneAt + 2000 }).ghosts).toBe(1);
});
