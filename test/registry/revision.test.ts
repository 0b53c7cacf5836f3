import fc from 'fast-check';
import { expect, test } from 'vitest';
import { compareIds, laterRevision, msOfId, parseRevision, revisionOf } from '../../src/registry/revision.js';

const ms = fc.nat(2_000_000_000_000);
const seq = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
const id = fc.tuple(fc.oneof(ms, fc.nat(2)), fc.oneof(seq, fc.bigInt({ min: 0n, max: 20n }))).map(([a, b]) => `${a}-${b}`);
const order = (one: string, other: string) => {
  const [a, b] = [one, other].map((text) => text.split('-').map(BigInt) as [bigint, bigint]) as [[bigint, bigint], [bigint, bigint]];
  return a[0] < b[0] || (a[0] === b[0] && a[1] < b[1]) ? -1 : a[0] === b[0] && a[1] === b[1] ? 0 : 1;
};

test('ids are compared as Redis orders them, low parts beyond what a double holds too', () => {
  fc.assert(fc.property(id, id, (one, other) => void expect(Math.sign(compareIds(one, other))).toBe(order(one, other))));
  expect(compareIds('5-9007199254740993', '5-9007199254740992')).toBeGreaterThan(0);
  expect(compareIds('', '1-0')).toBeLessThan(0);
});

test('a position survives its way through a revision, the one before the first entry too', () => {
  const minted = id.filter((one) => one !== '0-0' && /^\d+-\d{1,19}$/.test(one));
  fc.assert(fc.property(minted, (one) => void expect(parseRevision(revisionOf({ epoch: '17x9', id: one }))).toEqual({ epoch: '17x9', id: one })));
  expect(parseRevision(revisionOf({ epoch: '17x9', id: '' }))).toEqual({ epoch: '17x9', id: '' });
  expect(msOfId('1763683261450-18')).toBe(1_763_683_261_450);
});

test.each(['', '.', 'x', 'x.', '.1-1', 'x.1', 'x.1-', 'x.-1', 'x.1-1 ', ' x.1-1', 'x y.1-1', 'x.1-1.2', 'x.a-1', 'é.1-1', 'x.1-1\n', 'x.1e3-1', 'x.01-1', 'x.1-00', `x.${'9'.repeat(17)}-1`, `x.1-${'9'.repeat(20)}`])(
  'the text %j is no revision',
  (text) => expect(parseRevision(text)).toBeUndefined(),
);

test('the later of two revisions of one epoch wins, and of two epochs the second', () => {
  expect(laterRevision('x.2-1', 'x.1-9')).toBe('x.2-1');
  expect(laterRevision('x.1-9', 'x.2-1')).toBe('x.2-1');
  expect(laterRevision('x.9-9', 'y.1-1')).toBe('y.1-1');
});
