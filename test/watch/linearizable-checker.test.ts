import fc from 'fast-check';
import { expect, test } from 'vitest';
import { check, instanceModel, type InstanceInput, type InstanceOutput, type Operation } from '../helpers/linearizable.js';

type Op = Operation<InstanceInput, InstanceOutput>;
const NEVER = Infinity;

const op = (call: number, end: number, input: InstanceInput, output?: InstanceOutput): Op => ({ client: 0, call, return: end, input, output });
const register = (incarnation: string, call: number, end: number, output?: InstanceOutput) => op(call, end, { verb: 'register', incarnation }, output);
const remove = (call: number, end: number, output?: InstanceOutput, incarnation?: string) =>
  op(call, end, { verb: 'remove', ...(incarnation !== undefined && { incarnation }) }, output);
const beat = (call: number, end: number, output?: InstanceOutput, incarnation?: string) =>
  op(call, end, { verb: 'heartbeat', ...(incarnation !== undefined && { incarnation }) }, output);
const sees = (incarnation: string | null, call: number, end: number) =>
  op(call, end, { verb: 'discover' }, incarnation === null ? 'absent' : { present: incarnation });

const LEGAL: [name: string, history: Op[]][] = [
  ['nothing at all', []],
  ['one after the other', [register('a', 0, 1, 'created'), beat(2, 3, 200, 'a'), sees('a', 4, 5), remove(6, 7, 204, 'a'), beat(8, 9, 404), sees(null, 10, 11)]],
  ['a repetition, or did it take the place back', [register('a', 0, 1, 'created'), register('b', 2, 10, 200), register('a', 3, 9, 200), sees('a', 11, 12)]],
  ['a read beside a write sees it', [register('a', 0, 10, 'created'), sees('a', 1, 2)]],
  ['a read beside a write does not see it', [register('a', 0, 10, 'created'), sees(null, 1, 2)]],
  ['two reads beside a write, the later one sees it', [register('a', 0, 10, 'created'), sees(null, 1, 2), sees('a', 3, 4)]],
  ['two registrations at once, the one called later is first', [register('a', 0, 10, 'replaced'), register('b', 1, 9, 'created'), sees('a', 11, 12)]],
  ['HTTP does not tell replaced from repeated', [register('a', 0, 1, 201), register('a', 2, 3, 200), register('b', 4, 5, 200)]],
  ['the same incarnation again is repeated', [register('a', 0, 1, 'created'), register('a', 2, 3, 'repeated'), register('b', 4, 5, 'replaced')]],
  ['the older process is told so', [register('a', 0, 1, 'created'), register('b', 2, 3, 'replaced'), beat(4, 5, 409, 'a'), remove(6, 7, 409, 'a'), sees('b', 8, 9)]],
  ['an unknown registration never applies', [register('a', 0, NEVER), sees(null, 5, 6), beat(7, 8, 404)]],
  ['an unknown registration applies at once', [register('a', 0, NEVER), sees('a', 5, 6)]],
  ['an unknown registration applies later', [register('a', 0, NEVER), sees(null, 5, 6), sees('a', 7, 8)]],
  ['an unknown removal applies after others wrote', [register('a', 0, 1, 'created'), remove(2, NEVER), register('b', 3, 4, 'replaced'), sees('b', 5, 6), sees(null, 7, 8)]],
  ['an answer without an outcome is unknown though it returned', [register('a', 0, 1, undefined), sees(null, 5, 6), sees('a', 7, 8)]],
  ['two unknown registrations of one incarnation both apply', [
    register('a', 0, NEVER), register('a', 0, NEVER), sees('a', 1, 2), remove(3, 4, 204), sees(null, 5, 6), sees('a', 7, 8),
  ]],
  ['what touches in time may be in either order', [register('a', 0, 5, 'created'), sees(null, 5, 6)]],
];
test.each(LEGAL)('legal: %s', (_name, history) => expect(check(history, instanceModel)).toEqual({ ok: true }));

const ILLEGAL: [name: string, history: Op[], minimal?: number[]][] = [
  ['a stale read after an acknowledged write', [register('a', 0, 1, 'created'), register('b', 2, 3, 'replaced'), sees('b', 4, 5), sees('a', 6, 7)], [2, 3]],
  ['a lost write', [register('a', 0, 1, 'created'), sees(null, 2, 3)], [0, 1]],
  ['a lost removal', [register('a', 0, 1, 'created'), remove(2, 3, 204), sees('a', 4, 5)], [1, 2]],
  ['a lost write after a removal long over', [register('a', 0, 1, 'created'), remove(2, 3, 204), register('a', 4, 5, 'created'), sees(null, 6, 7)], [2, 3]],
  ['a registration that vanishes again', [register('a', 0, 10, 'created'), sees('a', 1, 2), sees(null, 3, 4)]],
  ['a read of what nobody wrote', [register('a', 0, 1, 'created'), sees('x', 2, 3)], [1]],
  ['a heartbeat that revives', [register('a', 0, 1, 'created'), remove(2, 3, 204), beat(4, 5, 200)], [1, 2]],
  ['two that are both new', [register('a', 0, 10, 'created'), register('b', 0, 10, 'created')], [0, 1]],
  ['two that removed one', [register('a', 0, 1, 'created'), remove(2, 10, 204), remove(2, 10, 204)], [1, 2]],
  ['an unknown write seen before its call', [sees('a', 0, 1), register('a', 2, NEVER)], [0]],
  ['an unknown write that applies twice', [register('a', 0, NEVER), sees('a', 1, 2), remove(3, 4, 204), sees(null, 5, 6), sees('a', 7, 8)]],
  ['a stale incarnation that is let through', [register('a', 0, 1, 'created'), register('b', 2, 3, 'replaced'), beat(4, 5, 200, 'a')], [1, 2]],
  ['a stale incarnation that removes', [register('a', 0, 1, 'created'), register('b', 2, 3, 'replaced'), remove(4, 5, 204, 'a')], [1, 2]],
  ['201 to one that stands', [register('a', 0, 1, 201), register('b', 2, 3, 201)], [0, 1]],
];
test.each(ILLEGAL)('illegal: %s', (_name, history, minimal) => {
  const verdict = check(history, instanceModel);
  expect(verdict.ok).toBe(false);
  if (!verdict.ok && minimal) expect(verdict.minimal).toEqual(minimal.map((i) => history[i]));
});

/** Tries every order. What need not have happened may still only have happened between its call and its return. */
function explained(history: Op[], needed: Op[] = history, state: string | null = null, latest = -Infinity): boolean {
  const required = needed.filter(({ output }) => output !== undefined);
  if (required.length === 0) return true;
  const firstReturn = Math.min(...required.map((each) => each.return));
  return history.some((each) => {
    if (each.call > firstReturn || each.return < latest) return false;
    const without = (ops: Op[]) => ops.filter((other) => other !== each);
    const states = instanceModel.step(state, each.input, each.output) ?? [];
    return states.some((next) => explained(without(history), without(needed), next, Math.max(latest, each.call)));
  });
}

const INCARNATIONS = fc.constantFrom('a', 'b');
const PAIRS: fc.Arbitrary<[InstanceInput, InstanceOutput]> = fc.oneof(
  fc.tuple(fc.record({ verb: fc.constant('register' as const), incarnation: INCARNATIONS }), fc.constantFrom<InstanceOutput[]>('created', 'replaced', 'repeated', 200, 201)),
  fc.tuple(fc.record({ verb: fc.constant('heartbeat' as const), incarnation: INCARNATIONS }), fc.constantFrom<InstanceOutput[]>(200, 404, 409)),
  fc.tuple(fc.record({ verb: fc.constant('remove' as const), incarnation: INCARNATIONS }), fc.constantFrom<InstanceOutput[]>(204, 404, 409)),
  fc.tuple(fc.constant({ verb: 'remove' as const }), fc.constantFrom<InstanceOutput[]>(204, 404)),
  fc.tuple(fc.constant({ verb: 'discover' as const }), fc.constantFrom<InstanceOutput[]>('absent', { present: 'a' }, { present: 'b' })),
);
const ANY_OP: fc.Arbitrary<Op> = fc
  .tuple(PAIRS, fc.nat(12), fc.integer({ min: 1, max: 6 }), fc.integer({ min: 0, max: 4 }))
  .map(([[input, output], call, length, luck]) => (luck === 0 ? op(call, NEVER, input) : op(call, call + length, input, output)));

test('it says what trying every order says, of any small history, and names a contradiction that the rest cannot resolve', () => {
  const said = { legal: 0, illegal: 0 };
  fc.assert(
    fc.property(fc.array(ANY_OP, { maxLength: 7 }), (history) => {
      const verdict = check(history, instanceModel);
      expect(verdict.ok).toBe(explained(history));
      said[verdict.ok ? 'legal' : 'illegal']++;
      if (verdict.ok) return;
      expect(history).toEqual(expect.arrayContaining(verdict.minimal));
      expect(explained(history, verdict.minimal), 'it contradicts itself, whether or not the rest happened').toBe(false);
    }),
    { seed: 3, numRuns: 6000 },
  );
  expect(Math.min(said.legal, said.illegal)).toBeGreaterThan(500);
});

interface Shape {
  seed: number;
  count: number;
  clients?: number;
  unknown?: number;
  registers?: number;
}

/** The answers of a run in which each call took effect at one moment within it, or, where its outcome is unknown, at any later one or never. */
function legalHistory({ seed, count, clients = 8, unknown = 0.02, registers = 0.2 }: Shape): Op[] {
  let word = seed >>> 0;
  const random = () => {
    word = (word + 0x6d2b79f5) >>> 0; // mulberry32
    let mixed = Math.imul(word ^ (word >>> 15), word | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  const free = Array.from({ length: clients }, random);
  const calls = Array.from({ length: count }, (_, i) => {
    const client = i % clients;
    const call = (free[client] as number) + random() * 2;
    const end = call + (random() < 0.02 ? 50 : 5) * random();
    free[client] = end;
    const isUnknown = random() < unknown;
    const late = random() < 0.3 ? Infinity : call + random() * 60;
    return { client, call, end, input: inputOf(random, registers), isUnknown, effect: isUnknown ? late : call + random() * (end - call) };
  });
  let state: string | null = null;
  const history: (Op & { effect: number })[] = [];
  for (const { client, call, end, input, isUnknown, effect } of calls.sort((a, b) => a.effect - b.effect)) {
    const output = OUTPUTS.find((each) => instanceModel.step(state, input, each)?.length) as InstanceOutput;
    if (effect < Infinity) state = instanceModel.step(state, input, output)?.[0] ?? null;
    history.push({ client, call, return: isUnknown ? Infinity : end, input, output: isUnknown ? undefined : output, effect });
  }
  return history.sort((a, b) => a.call - b.call).map(({ effect: _, ...each }) => each);
}

const LIVES = Array.from({ length: 6 }, (_, i) => `life-${i}`);
const OUTPUTS: InstanceOutput[] = ['created', 'replaced', 'repeated', 200, 204, 404, 409, 'absent', ...LIVES.map((present) => ({ present }))];

function inputOf(random: () => number, registers: number): InstanceInput {
  const incarnation = LIVES[Math.floor(random() * LIVES.length)] as string;
  const kind = random();
  if (kind < registers) return { verb: 'register', incarnation };
  if (kind < registers + 0.1) return random() < 0.5 ? { verb: 'remove' } : { verb: 'remove', incarnation };
  if (kind < registers + 0.4) return random() < 0.5 ? { verb: 'heartbeat' } : { verb: 'heartbeat', incarnation };
  return { verb: 'discover' };
}

test('a history that happened is accepted, however its calls overlap', () => {
  fc.assert(
    fc.property(fc.nat(), fc.constantFrom(0, 0.02, 0.1), fc.constantFrom(0.1, 0.3, 0.6), (seed, unknown, registers) => {
      expect(check(legalHistory({ seed, count: 150, unknown, registers }), instanceModel)).toEqual({ ok: true });
    }),
    { seed: 3, numRuns: 200 },
  );
});

test.each([{ registers: 0.2 }, { registers: 0.6 }])('2,000 calls of 8 clients are decided, $registers of them registrations', ({ registers }) => {
  expect(check(legalHistory({ seed: 11, count: 2000, registers }), instanceModel)).toEqual({ ok: true });
});

/** Puts another answer in the place of one. */
function corrupted(history: Op[], luck: number): Op[] {
  const known = history.flatMap(({ output }, i) => (output === undefined ? [] : [i]));
  const at = known[luck % known.length] as number;
  const { input, output } = history[at] as Op;
  const others = OUTPUTS.filter((each) => JSON.stringify(each) !== JSON.stringify(output) && possibleAnswer(input, each));
  return history.map((each, i) => (i === at ? { ...each, output: others[luck % others.length] } : each));
}

const possibleAnswer = (input: InstanceInput, output: InstanceOutput) =>
  [null, ...LIVES].some((state) => instanceModel.step(state, input, output)?.length) && !(input.verb === 'register' && output === 200);

test('a history with one answer changed is mostly rejected, and the contradiction is small', () => {
  const sizes: number[] = [];
  fc.assert(
    fc.property(fc.nat(), fc.nat(), (seed, luck) => {
      const verdict = check(corrupted(legalHistory({ seed, count: 150, unknown: 0.01 }), luck), instanceModel);
      if (verdict.ok) return;
      sizes.push(verdict.minimal.length);
      expect(check(verdict.minimal, instanceModel).ok).toBe(false);
    }),
    { seed: 3, numRuns: 100 },
  );
  expect(sizes.length).toBeGreaterThan(60); // some answers may as well have been the other
  expect(Math.max(...sizes)).toBeLessThan(10);
});

test('one wrong answer among 2,000 calls is named with the few that contradict it', () => {
  const history = legalHistory({ seed: 5, count: 2000 });
  const at = history.findIndex(({ input, output }, i) => i > 1500 && input.verb === 'discover' && typeof output === 'object');
  const wrong = history.map((each, i) => (i === at ? { ...each, output: { present: 'nobody' } } : each));
  const verdict = check(wrong, instanceModel);
  expect(verdict).toEqual({ ok: false, minimal: [wrong[at]], at: wrong[at]?.return });
});

test('a history too ambiguous to decide is not called legal', () => {
  const registrations = Array.from({ length: 18 }, (_, i) => register(`life-${i}`, 0, 1, i === 0 ? 'created' : 'replaced'));
  expect(() => check([...registrations, sees('nobody', 0, 1)], instanceModel, 1000)).toThrow('not decided');
});
