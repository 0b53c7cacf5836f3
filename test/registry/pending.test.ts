import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Instance } from '../../src/contract/index.js';
import { decodeInstance } from '../../src/redis/scripts/codec.js';
import { patched, registered } from '../../src/registry/recovery/effects.js';
import { Pending, type Effect } from '../../src/registry/recovery/pending.js';
import { openRegistry } from '../helpers/gateway.js';
import { CALLER, complete } from '../helpers/store.js';
import { change, EPOCH, idAt, record, T0 } from './sample.js';

const AT = (ms: number) => `${EPOCH}.${idAt(T0 + ms)}`;
const nothing: Effect = () => undefined;
/** An effect that shows which came before it. */
const adds = (word: string): Effect => (before) => {
  const instance = before ?? registered(complete(), AT(0))(undefined);
  return instance && { ...instance, customState: `${before?.customState ?? ''}${word}` };
};
const idsIn = (pending: Pending) => [...pending].map(({ instanceId, at }) => `${instanceId} ${at}`);
const read = (pending: Pending, ms: number, more = {}, instanceId = 'a') => pending.read(change(idAt(T0 + ms), 'updated', record({ instanceId }), more));

test('a write is pending until its entry has been read: an earlier one of the same instance, or one of another, does not count', () => {
  const pending = new Pending();
  pending.add('a', AT(10), '', nothing);
  pending.add('b', AT(11), '', nothing);
  read(pending, 9);
  read(pending, 12, {}, 'c');
  expect(idsIn(pending)).toEqual([`a ${idAt(T0 + 10)}`, `b ${idAt(T0 + 11)}`]);
  read(pending, 10);
  expect(idsIn(pending)).toEqual([`b ${idAt(T0 + 11)}`]);
  expect([pending.get('a'), pending.get('b')?.at, pending.size]).toEqual([undefined, idAt(T0 + 11), 1]);
  read(pending, 20, {}, 'b');
  expect(pending.size).toBe(0);
});

test.each([
  { revision: AT(10), readUpTo: idAt(T0 + 10) },
  { revision: AT(10), readUpTo: idAt(T0 + 11) },
  { revision: `${EPOCH}.0-0`, readUpTo: '' },
  { revision: 'none', readUpTo: '' },
])('a write at $revision is not pending when the view has read up to "$readUpTo"', ({ revision, readUpTo }) => {
  const pending = new Pending();
  pending.add('a', revision, readUpTo, nothing);
  expect([pending.size, pending.get('a'), pending.oldestAt]).toEqual([0, undefined, Infinity]);
});

test('several writes on one instance are one, with all their effects in order and the latest entry, whichever was acknowledged last', () => {
  const pending = new Pending();
  pending.add('a', AT(30), '', adds('x'));
  pending.add('a', AT(20), '', adds('y'));
  pending.add('a', AT(25), '', adds('z'));
  expect(idsIn(pending)).toEqual([`a ${idAt(T0 + 30)}`]);
  expect(pending.get('a')?.effect(undefined)?.customState).toBe('xyz');
  expect([...pending].map(({ effect }) => effect(adds('-')(undefined))?.customState)).toEqual(['-xyz']);
});

test('what has been read of several writes is no longer among them', () => {
  const pending = new Pending();
  ['x', 'y', 'z'].forEach((word, i) => pending.add('a', AT(10 * i + 10), '', adds(word)));
  read(pending, 20);
  expect(pending.get('a')?.effect(undefined)?.customState).toBe('z');
});

test('a removal among them makes it nothing, and a registration behind that makes it new', () => {
  const pending = new Pending();
  pending.add('a', AT(10), '', adds('x'));
  pending.add('a', AT(20), '', nothing);
  expect(pending.get('a')?.effect(undefined)).toBeUndefined();
  pending.add('a', AT(30), '', registered(complete({ customState: 'new' }), AT(30)));
  expect(pending.get('a')?.effect(undefined)).toMatchObject({ customState: 'new', registeredAt: new Date(T0 + 30).toISOString() });
});

test('what a replica gave back stands only for writes up to the entry that its word is from, however late it was written', () => {
  const pending = new Pending();
  pending.add('a', AT(10), '', adds('x'));
  pending.add('a', AT(20), '', adds('y'));
  read(pending, 9000, { kind: 'restored', of: idAt(T0 + 10), epoch: 'another' });
  expect(pending.get('a')?.effect(undefined)?.customState).toBe('y');
  read(pending, 9001, { kind: 'restored', of: idAt(T0 + 20), epoch: 'another' });
  expect(pending.size).toBe(0);
});

test("what the store says of its own in another epoch stands for every write, also one with a greater id: two primaries' ids are not compared", () => {
  const pending = new Pending();
  pending.add('a', AT(10_000), '', nothing);
  read(pending, 10, { epoch: 'another' });
  expect(pending.size).toBe(0);
});

test('after everything was read anew, only writes are pending that are in nothing that was read', () => {
  const pending = new Pending();
  pending.add('behind', AT(20), '', nothing);
  pending.add('behind', AT(5), '', nothing);
  pending.add('read', AT(10), '', nothing);
  pending.add('held', `another.${idAt(T0 + 30)}`, '', nothing);
  pending.add('told', `another.${idAt(T0 + 40)}`, '', nothing);
  pending.add('lost', `another.${idAt(T0 + 1)}`, '', nothing);
  const told = change(idAt(T0 + 10), 'restored', record({ instanceId: 'told' }), { of: idAt(T0 + 40) });
  pending.readAll([told], { epoch: EPOCH, id: idAt(T0 + 10) }, (id) => (id === 'held' ? idAt(T0 + 30) : undefined));
  expect(idsIn(pending)).toEqual([`behind ${idAt(T0 + 20)}`, `lost ${idAt(T0 + 1)}`]);
});

test('what came before a time can be forgotten', () => {
  const pending = new Pending();
  pending.add('a', AT(10), '', nothing);
  pending.add('b', AT(20), '', nothing);
  pending.forgetBefore(T0 + 20);
  expect(idsIn(pending)).toEqual([`b ${idAt(T0 + 20)}`]);
});

test('the oldest is known by when it was acknowledged', () => {
  const pending = new Pending();
  const before = performance.now();
  pending.add('a', AT(10), '', nothing);
  const between = performance.now();
  pending.add('b', AT(20), '', nothing);
  expect(pending.oldestAt).toBeGreaterThanOrEqual(before);
  expect(pending.oldestAt).toBeLessThanOrEqual(between);
  read(pending, 10);
  expect(pending.oldestAt).toBeGreaterThanOrEqual(between);
});

test('more than a view that does not read can be asked to keep: the oldest are let go', () => {
  const pending = new Pending();
  for (let i = 0; i < 100_010; i++) pending.add(`i-${i}`, AT(i + 1), '', nothing);
  expect([pending.size, pending.get('i-9'), pending.get('i-10')?.instanceId]).toEqual([100_000, undefined, 'i-10']);
});

const labels = fc.dictionary(fc.constantFrom('zone', 'tier', 'b/c'), fc.constantFrom('1', 'ü"\\'), { maxKeys: 3, noNullPrototype: true });
const state = fc.constantFrom('loading', '-', '=', '');
const status = fc.constantFrom('ready' as const, 'error' as const);
const description = { status, customState: state, labels, ports: fc.constantFrom<Instance['ports']>([], [{ port: 80, protocol: 'tcp' }]), publicIp: fc.constantFrom('203.0.113.9', '2001:db8::1') };
const verb = fc.oneof(
  // The same process under the same id stays where it is; who moves is another.
  fc.record({ life: fc.constantFrom('life-1', 'life-2'), given: fc.record(description, { requiredKeys: ['status', 'ports'] }) }),
  fc.record({ patch: fc.record({ status, customState: fc.option(state), labels: fc.dictionary(fc.constantFrom('zone', 'tier'), fc.option(fc.constant('2')), { noNullPrototype: true }) }, { requiredKeys: [] }) }),
  fc.record({ cordoned: fc.boolean() }),
  fc.constant({ remove: true as const }),
);
type Verb = typeof verb extends fc.Arbitrary<infer T> ? T : never;
type Opened = Awaited<ReturnType<typeof openRegistry>>;

/** Does it to the store, and says what it should have made of the instance. */
async function take({ registry }: Opened, action: Verb): Promise<Effect> {
  if ('life' in action) {
    const given = complete({ ...action.given, incarnation: action.life, group: action.life === 'life-1' ? 'kr-1' : 'us-1' });
    return registered(given, (await registry.register(given, CALLER)).revision);
  }
  if ('patch' in action) {
    const [result] = await registry.heartbeat([{ instanceId: 'a', ...action.patch }]);
    return result?.status === 200 ? patched(action.patch, result.revision) : (before) => before;
  }
  if ('cordoned' in action) {
    const { instance } = await registry.patch('a', action, CALLER).catch(() => ({ instance: undefined }));
    return (before) => instance ?? before;
  }
  await registry.remove('a', {}, CALLER).catch(() => undefined);
  return nothing;
}

/** All that a restored record keeps. */
const kept = ({ lastHeartbeat: _, expiresAt: __, ...rest }: Instance) => ({ ...rest, customState: rest.customState ?? '' });

test('the effects of writes, one after the other, are what the scripts make of the record', async () => {
  const opened = await openRegistry();
  const { registry, raw, keys } = opened;
  await fc.assert(
    fc.asyncProperty(fc.array(verb, { minLength: 1, maxLength: 12 }), async (actions) => {
      await registry.remove('a', {}, CALLER).catch(() => undefined);
      let known: Instance | undefined;
      for (const action of actions) {
        known = (await take(opened, action))(known);
        const stored = await raw.hgetall(keys.record('a'));
        expect(known && kept(known)).toEqual(Object.keys(stored).length > 0 ? kept(decodeInstance(stored)) : undefined);
      }
    }),
    { numRuns: 100 },
  );
});

test('what thousands of changes of one instance make of it costs each of them once', () => {
  const pending = new Pending();
  let applied = 0;
  const change = (text: string) => (before: Instance | undefined) => (applied++, before && { ...before, customState: text });
  pending.add('a', `${EPOCH}.${idAt(T0, 1)}`, '', adds(''));
  for (let i = 2; i <= 1000; i++) {
    pending.add('a', `${EPOCH}.${idAt(T0, i)}`, '', change(`${i}`));
    expect(pending.makes('a')?.customState).toBe(`${i}`);
  }
  expect(applied).toBeLessThan(2000);
  expect(pending.get('a')?.effect(undefined)).toEqual(pending.makes('a'));
  expect(pending.makes('b')).toBeUndefined();
});
