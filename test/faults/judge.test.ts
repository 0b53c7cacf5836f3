import { expect, test } from 'vitest';
import { Draw } from '../../bench/faults/random/draw.js';
import { History, type Answer, type Ending, type Entry, type Frame, type Happened, type Struck, type Try } from '../../bench/faults/random/history.js';
import { judge } from '../../bench/faults/random/judge/index.js';
import { RULES, type Rule } from '../../bench/faults/random/judge/violation.js';
import { planOf } from '../../bench/faults/random/plan.js';

// Whoever judges must be able to say no: histories made by hand, each sound but for one thing. Times are seconds since the begin.
const T0 = 1_700_000_000_000;
const TTL_MS = 9000;
const EPOCH = 'e1';
const at = (seconds: number) => T0 + seconds * 1000;
const idAt = (seconds: number, n = 1) => `${at(seconds)}-${n}`;

const run: Happened = { t: 'run', seed: 1, ms: 60_000, ttlMs: TTL_MS, at: T0 };
let ops = 0;
const call = (verb: Try['verb'], seconds: number, status: number, more: Partial<Try> = {}): Try => ({
  t: 'try', verb, id: 'a', inc: 'p1', group: 'g', v: 0, op: verb === 'beat' ? 0 : ++ops, replica: 0, sentAt: at(seconds), receivedAt: at(seconds) + 10, status, ...more,
});
const answer = (seconds: number, list: Answer['list'], more: Partial<Answer> = {}): Answer => ({
  t: 'answer', replica: 1, group: 'g', sentAt: at(seconds), receivedAt: at(seconds) + 5, revision: `${EPOCH}.${idAt(seconds)}`, list, ...more,
});
const entry = (kind: string, seconds: number, more: Partial<Entry> = {}): Entry => ({
  t: 'entry', at: at(seconds) + 20, epoch: EPOCH, entry: idAt(seconds), kind, cause: 'register', id: 'a', inc: 'p1', group: 'g', ...more,
});
const frame = (event: string, seconds: number, more: Partial<Frame> = {}): Frame => ({
  t: 'frame', watcher: 0, group: 'g', replica: 0, connection: 1, at: at(seconds) + 30, event, revision: `${EPOCH}.${idAt(seconds)}`, ...more,
});
const fault = (kind: string, from: number, to: number, replica?: number): Struck => ({ t: 'fault', kind, from: at(from), to: at(to), ...(replica !== undefined && { replica }) });
const ending = (list: Ending['replicas'][number]['list'], more: Partial<Ending> = {}): Ending => ({
  t: 'ending', at: at(50), replicas: [{ tags: 'x', list }], redis: [], watchers: [], owners: [], ...more,
});

const A: Answer['list'] = [['a', 'p1', 0, 0]];
const born = () => [call('register', 1, 201), entry('registered', 1)];
const lived = () => [...born(), call('beat', 4, 200), call('beat', 7, 200)];
const rules = (...all: Happened[]): Rule[] => [...new Set(judge(new History([run, ...all])).map(({ rule }) => rule))];

/** For each rule: what breaks it, and what comes closest without breaking it. */
const cases: Record<Rule, { broken: () => Happened[]; sound: () => Happened[] }> = {
  missing: {
    broken: () => [...lived(), answer(10, [])],
    sound: () => [...lived(), answer(1.5, []), answer(10, A), answer(10, [], { recovering: true }), answer(17, [])],
  },
  ghost: {
    broken: () => [...lived(), call('remove', 9, 204), answer(10.5, A)],
    sound: () => [...lived(), call('remove', 9, 204), answer(9.5, A), answer(10.5, A, { staleS: 3 }), answer(10.5, [])],
  },
  old: {
    broken: () => [...lived(), call('patch', 8, 200, { v: 1 }), answer(9.5, A)],
    sound: () => [...lived(), call('patch', 8, 200, { v: 1 }), answer(8.5, A), answer(9.5, A, { staleS: 2 }), answer(9.5, [['a', 'p1', 1, 0]])],
  },
  'not-found': {
    broken: () => [...lived(), call('beat', 10, 404)],
    sound: () => [...lived(), call('beat', 17, 404)],
  },
  fenced: {
    broken: () => [...born(), call('register', 2, 200, { inc: 'p2' }), call('beat', 5, 409, { inc: 'p2' })],
    sound: () => [...born(), call('register', 2, 200, { inc: 'p2' }), call('beat', 5, 409)],
  },
  revived: {
    broken: () => [...lived(), call('remove', 9, 204), call('beat', 9.5, 200)],
    sound: () => [...lived(), call('remove', 9, 204), call('beat', 8.99, 200, { receivedAt: at(9.5) }), call('beat', 9.5, 404)],
  },
  refused: {
    broken: () => [...lived(), call('patch', 8, 500)],
    sound: () => [...lived(), call('patch', 8, 503)],
  },
  'false-expired': {
    broken: () => [...lived(), entry('expired', 12, { cause: 'lease' })],
    sound: () => [...lived(), entry('expired', 16.5, { cause: 'lease' })],
  },
  late: {
    broken: () => [...lived(), entry('expired', 50, { cause: 'lease', deadline: new Date(at(45)).toISOString() })],
    sound: () => [...lived(), entry('expired', 50, { cause: 'lease', deadline: new Date(at(49)).toISOString() })],
  },
  'false-removed': {
    broken: () => [...lived(), entry('removed', 8, { cause: 'deregister' })],
    sound: () => [...lived(), call('remove', 8, 0), entry('removed', 8, { cause: 'deregister' }), frame('expired', 20, { id: 'b', inc: 'p9' }), entry('removed', 22, { id: 'b', inc: 'p9', cause: 'replay' })],
  },
  'told-twice': {
    broken: () => [...born(), call('remove', 2, 204), entry('removed', 2), entry('expired', 12, { cause: 'lease' })],
    sound: () => [...born(), call('remove', 2, 204), entry('removed', 2), call('register', 3, 201), entry('registered', 3), entry('expired', 13, { cause: 'lease' })],
  },
  'watch-missed': {
    broken: () => [...lived(), entry('updated', 8, { entry: idAt(8) }), frame('snapshot', 2), frame('updated', 9, { id: 'a' })],
    sound: () => [...lived(), entry('updated', 8, { group: 'other' }), frame('snapshot', 2), frame('updated', 9, { id: 'a' })],
  },
  'watch-doubled': {
    broken: () => [frame('snapshot', 2), frame('updated', 3, { id: 'a' }), frame('updated', 3, { id: 'a', connection: 2 })],
    sound: () => [frame('snapshot', 2), frame('updated', 3, { id: 'a' }), frame('snapshot', 3, { connection: 2 })],
  },
  'watch-order': {
    broken: () => [frame('snapshot', 2), frame('updated', 4, { id: 'a' }), frame('updated', 3, { id: 'b' })],
    sound: () => [frame('snapshot', 2), frame('updated', 3, { id: 'a' }), frame('updated', 4, { id: 'b' })],
  },
  grace: {
    broken: () => [{ t: 'grace', at: at(30), value: '1' }],
    sound: () => [fault('freeze', 26, 30), { t: 'grace', at: at(30.1), value: '1' }],
  },
  epoch: {
    broken: () => [fault('freeze', 26, 30), { t: 'epoch', at: at(30), value: 'e2' }],
    sound: () => [fault('flush', 29, 29), { t: 'epoch', at: at(29.6), value: 'e2' }],
  },
  end: {
    broken: () => [...born(), ending(A, { redis: [['a', 'g', 'p1', 0]], owners: [['a', 'p1', 0, 'g']], watchers: [{ group: 'g', list: [] }] })],
    sound: () => [...born(), ending(A, { redis: [['a', 'g', 'p1', 0]], owners: [['a', 'p1', 0, 'g']], watchers: [{ group: 'g', list: A }, { group: 'other', list: [] }] })],
  },
};

test.each(Object.keys(RULES) as Rule[])('a history that breaks the rule "%s" breaks only that, and one that comes close breaks none', (rule) => {
  expect(rules(...cases[rule].broken())).toEqual([rule]);
  expect(rules(...cases[rule].sound())).toEqual([]);
});

test('a call that was not answered may have happened, and may happen later when its replica was stopped', () => {
  const doubtful = [...lived(), call('remove', 9, 0, { receivedAt: at(14) })];
  expect(rules(...doubtful, answer(12, []), answer(12, A))).toEqual([]);
  expect(rules(...doubtful, call('beat', 10, 404))).toEqual([]);
  const late = [...born(), call('beat', 4, 0, { receivedAt: at(6) })];
  expect(rules(...late, answer(17.8, A))).toEqual(['ghost']);
  expect(rules(...late, fault('stop', 3, 9, 0), answer(17.8, A))).toEqual([]);
});

test('a lease that was in force when Redis went away for long is in force for a ttl after its return', () => {
  const away = [...lived(), fault('freeze', 8, 18)];
  expect(rules(...away, answer(20, [], { sentAt: at(20) }))).toEqual(['missing']);
  expect(rules(...away, answer(28, []))).toEqual([]);
});

test('what Redis lost is demanded back if a replica that knew it was well', () => {
  const lost = [...born(), call('beat', 15, 200), fault('flush', 10, 10.1)];
  expect(rules(...lost, answer(19, []))).toEqual(['missing']);
  const nobodyLeft = [0, 1, 2].map((replica) => fault('kill', 9, 12, replica));
  expect(rules(...born(), call('beat', 4, 200), fault('flush', 10, 10.1), ...nobodyLeft, answer(12, []))).toEqual([]);
});

test('strong answers know all that was acknowledged before they were asked for', () => {
  const changed = [...lived(), call('patch', 8, 200, { v: 1 })];
  expect(rules(...changed, answer(8.1, A, { strong: true }))).toEqual(['old']);
});

test('a seed repeats its run, and another is another', () => {
  const size = { ms: 300_000, replicas: 3, slots: 200, watchers: 10, clocks: true };
  expect(planOf(7, size)).toEqual(planOf(7, size));
  expect(planOf(8, size)).not.toEqual(planOf(7, size));
  expect(new Set(planOf(7, size).strikes.map(({ kind }) => kind)).size).toBeGreaterThan(10);
  expect(Array.from({ length: 1000 }, () => new Draw(3).whole(2, 5)).every((n) => n >= 2 && n <= 5)).toBe(true);
});
