import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Change } from '../../src/registry/log/change.js';
import { Ring } from '../../src/registry/log/ring.js';
import { change, idAt, record, T0 } from './sample.js';

/** A log whose ids share milliseconds, with low parts longer than a double holds. */
const logOf = (length: number) => {
  const ids = Array.from({ length }, (_, i) => idAt(T0 + Math.floor(i / 3), (i % 3) * 9 + 1)).map((id, i) => (i % 3 === 2 ? `${id}7446744073709551` : id));
  return ids.map((id, i) => change(id, 'registered', record({ instanceId: `i-${i}` }), { prev: ids[i - 1] ?? '' }));
};

test('a ring of any size, filled forward and backward, gives what follows each of its positions, and says so for what is no longer or never was here', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 8 }), fc.nat(25), fc.nat(8), (capacity, pushed, wanted) => {
      const inFront = pushed > capacity ? 0 : Math.min(wanted, capacity - pushed);
      const [ring, log] = [new Ring(capacity), logOf(inFront + pushed)];
      const base = ring.next - inFront; // the number of the first of all
      log.slice(inFront).forEach((one) => ring.push(one));
      for (let at = inFront - 1; at >= 0; at--) {
        expect(ring.hasRoom).toBe(true);
        ring.unshift(log[at] as Change);
      }
      const first = Math.max(0, log.length - capacity);
      expect([ring.first - base, ring.next - base, ring.hasRoom]).toEqual([first, log.length, log.length < capacity]);
      log.forEach((one, number) => {
        expect(ring.at(base + number)).toBe(number < first ? undefined : one);
        const after = ring.after(one.id);
        // The one before the oldest is known by it.
        expect(after).toBe(number >= first - 1 ? base + number + 1 : undefined);
        if (after !== undefined) expect(ring.since(after)).toEqual(log.slice(number + 1));
      });
      expect(ring.at(ring.next)).toBeUndefined();
      expect(ring.since(ring.next)).toEqual([]);
      expect(ring.after('')).toBe(log.length > 0 && log.length <= capacity ? base : undefined);
    }),
  );
});

test('a position that lies between two changes, before all or behind all is none', () => {
  const [ring, log] = [new Ring(4), logOf(6)];
  log.forEach((one) => ring.push(one));
  for (const id of [idAt(T0 - 1), idAt(T0 + 1, 5), idAt(T0 + 99), idAt(T0 + 1, 0)]) expect(ring.after(id), id).toBeUndefined();
  expect(new Ring(3).after(idAt(T0))).toBeUndefined();
});
