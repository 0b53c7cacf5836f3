import fc from 'fast-check';
import { expect, test } from 'vitest';
import { LapseSchedule, NOT_PLANNED } from '../../src/registry/table/lapses.js';
import { heapMb, T0 } from './sample.js';

interface Lease {
  name: number;
  step: number;
  endsMs: number;
}

const lease = (name: number, endsMs: number): Lease => ({ name, step: NOT_PLANNED, endsMs });
const schedule = () => new LapseSchedule<Lease>(({ endsMs }) => endsMs);
const lapsedAt = (leases: LapseSchedule<Lease>, nowMs: number) => {
  const names: number[] = [];
  leases.advance(nowMs, ({ name }) => names.push(name));
  return names.sort((a, b) => a - b);
};

const endAfterMs = fc.oneof(fc.integer({ min: -50, max: 200 }), fc.integer({ min: 0, max: 60_000 }), fc.integer({ min: 0, max: 7_200_000 }));
const step = fc.oneof(
  fc.record({ verb: fc.constant('plan' as const), name: fc.nat(9), endAfterMs }),
  fc.record({ verb: fc.constant('renew' as const), name: fc.nat(9), byMs: fc.nat(40_000) }),
  fc.record({ verb: fc.constant('forget' as const), name: fc.nat(9) }),
  fc.record({ verb: fc.constant('advance' as const), byMs: fc.oneof(fc.integer({ min: 0, max: 35 }), fc.nat(60_000), fc.nat(7_200_000)) }),
  fc.record({ verb: fc.constant('rewind' as const), backMs: fc.constantFrom(0, 3_600_000) }),
);

test('whatever is planned, renewed, shortened and forgotten, each lease lapses once, in the first look at or after its end', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
      const leases = schedule();
      const planned = new Map<number, Lease>();
      let nowMs = T0;
      for (const one of steps) {
        if (one.verb === 'plan') {
          const known = planned.get(one.name) ?? lease(one.name, 0);
          known.endsMs = nowMs + one.endAfterMs; // earlier or later than it was
          planned.set(one.name, known);
          leases.plan(known);
        } else if (one.verb === 'renew') {
          const known = planned.get(one.name);
          if (known) known.endsMs += one.byMs; // nobody tells the schedule
        } else if (one.verb === 'forget') {
          const known = planned.get(one.name);
          if (known) leases.forget(known);
          planned.delete(one.name);
        } else if (one.verb === 'rewind') {
          nowMs -= one.backMs;
          leases.rewind();
          for (const known of planned.values()) leases.plan(known);
        } else {
          nowMs += one.byMs;
          const due = [...planned.values()].filter(({ endsMs }) => endsMs <= nowMs).map(({ name }) => name);
          expect(lapsedAt(leases, nowMs)).toEqual(due.sort((a, b) => a - b));
          due.forEach((name) => planned.delete(name));
        }
      }
    }),
    { numRuns: 500 },
  );
});

test('a lease that is to end earlier than it was planned lapses at its new end, once', () => {
  const leases = schedule();
  const one = lease(1, T0 + 60_000);
  leases.plan(one);
  one.endsMs = T0 + 100;
  leases.plan(one);
  expect(lapsedAt(leases, T0 + 99)).toEqual([]);
  expect(lapsedAt(leases, T0 + 100)).toEqual([1]);
  expect(lapsedAt(leases, T0 + 120_000)).toEqual([]);
});

test('of leases that end at once so many lapse in one look as it may, the others in the next ones, each once', () => {
  const leases = schedule();
  const all = Array.from({ length: 25 }, (_, i) => lease(i, T0 + 5));
  all.forEach((one) => leases.plan(one));
  const lapsed: number[] = [];
  const look = () => leases.advance(T0 + 7, (one) => lapsed.push(one.name), 10);
  expect(look()).toBe(false);
  expect(lapsed).toHaveLength(10);
  const [renewed, gone] = all.filter(({ name }) => !lapsed.includes(name)) as [Lease, Lease];
  renewed.endsMs = T0 + 9; // later, and in the same step
  leases.forget(gone);
  const late = lease(25, T0 + 6);
  leases.plan(late);
  expect([look(), look()]).toEqual([false, true]);
  expect(lapsed.toSorted((a, b) => a - b)).toEqual([...all, late].map(({ name }) => name).filter((name) => name !== renewed.name && name !== gone.name));
  expect(lapsedAt(leases, T0 + 9)).toEqual([renewed.name]);
});

test('a million renewals leave no more in memory than one', () => {
  const leases = schedule();
  const all = Array.from({ length: 1000 }, (_, i) => lease(i, T0 + 30_000));
  all.forEach((one) => leases.plan(one));
  const before = heapMb();
  let [renewals, calls] = [0, 0];
  for (let nowMs = T0; renewals < 1_000_000; nowMs += 20) {
    for (let i = 0; i < 200; i++) {
      const one = all[renewals++ % all.length] as Lease;
      one.endsMs = nowMs + 30_000;
      leases.plan(one);
    }
    leases.advance(nowMs, () => calls++);
  }
  expect(calls).toBe(0);
  expect(heapMb() - before, 'MB').toBeLessThan(2);
});

test('leases that are forgotten and planned again, as with every update, leave nothing behind before their end', () => {
  const leases = schedule();
  const before = heapMb();
  for (let i = 0; i < 300_000; i++) {
    const one = lease(i, T0 + 3_600_000 + i);
    leases.plan(one);
    leases.forget(one);
  }
  expect(heapMb() - before, 'MB').toBeLessThan(3);
  expect(lapsedAt(leases, T0 + 9_000_000)).toEqual([]);
});

test('a jump of any length looks at what is planned and not at every step between', () => {
  const leases = schedule();
  const years = 30_000 * 365 * 24 * 3_600_000; // a look at every step would not end
  leases.plan(lease(1, T0 + 1000));
  leases.plan(lease(2, T0 + 2 * years));
  lapsedAt(leases, T0);
  expect(lapsedAt(leases, T0 + years)).toEqual([1]);
});
