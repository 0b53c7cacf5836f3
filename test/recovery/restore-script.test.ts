import { expect, test } from 'vitest';
import type { Instance } from '../../src/contract/index.js';
import { encodeInstance, registerArgs } from '../../src/redis/scripts/codec.js';
import { restore } from '../../src/redis/recovery/restore.js';
import type { RestoreEntry } from '../../src/registry/recovery/restore-entry.js';
import { takePulse } from '../../src/redis/log/pulse.js';
import { eventsIn } from '../helpers/events.js';
import { complete, expectAgreement, readStore, redisNow } from '../helpers/store.js';
import { openBare, type Bare } from './helpers/replica.js';

const LONG_AGO = '2026-01-01T00:00:00.000Z';
const instance = (fields: Partial<Instance> = {}): Instance =>
  ({ ...complete(), cordoned: false, labels: {}, registeredAt: LONG_AGO, updatedAt: LONG_AGO, lastHeartbeat: LONG_AGO, expiresAt: LONG_AGO, ...fields });

/** A word on `a`, of an entry of this time. */
const word = (of: number | string, mode: RestoreEntry['mode'] = 'missing', fields: Partial<Instance> = {}): RestoreEntry =>
  ({ instanceId: fields.instanceId ?? 'a', of: typeof of === 'number' ? `${of}-0` : of, mode, instance: () => instance(fields) });

/** What a replica says that has read everything. */
async function placeOf({ store }: Bare) {
  const { epoch, head } = await takePulse(store.connection, store.scripts);
  return { epoch, id: head };
}
const register = ({ store }: Bare, fields = {}) => store.scripts.run(store.connection, 'register', registerArgs(complete(fields), 'register', '*', 'test'));
const remove = ({ store }: Bare, id = 'a') => store.scripts.run(store.connection, 'remove', [id, '', '', '', 'test']);
const statusOf = async ({ raw, keys }: Bare, id = 'a') => (await raw.hget(keys.record(id), 'status')) ?? 'none';

test('a word for another epoch is refused, and nothing is written', async () => {
  const bare = await openBare();
  await placeOf(bare);
  expect(await restore(bare.store, { epoch: 'another', id: '' }, [word(5)])).toBe('epoch');
  expect(await statusOf(bare)).toBe('none');
  expect(await eventsIn(bare.raw, bare.keys.events)).toEqual([]);
});

test('a word from a position that the log does not have is refused, and nothing is written', async () => {
  const bare = await openBare();
  await register(bare, { instanceId: 'other' });
  const { epoch } = await placeOf(bare);
  expect(await restore(bare.store, { epoch, id: '12345-6' }, [word(5)])).toBe('position');
  expect(await statusOf(bare)).toBe('none');
});

test('more than 500 entries behind the position have to be read first', async () => {
  const bare = await openBare();
  const before = await placeOf(bare);
  for (let i = 0; i < 501; i++) await register(bare, { instanceId: `i-${i}` });
  expect(await restore(bare.store, before, [word(5)])).toBe('behind');
  expect(await statusOf(bare)).toBe('none');
  expect(await restore(bare.store, { ...before, id: (await bare.raw.xrange(bare.keys.events, '-', '+', 'COUNT', 1))[0]?.[0] ?? '' }, [word(5)])).toBe('done');
  expect(await statusOf(bare)).toBe('ready');
});

test.each(['missing', 'over', 'remove'] as const)('an id that the log names behind the position is not touched by "%s"', async (mode) => {
  const bare = await openBare();
  await register(bare, { instanceId: 'other' });
  const before = await placeOf(bare);
  await register(bare, { incarnation: 'life-2' });
  const [events, later] = [await bare.raw.xlen(bare.keys.events), word('9999999999999-0', mode, { status: 'error' })];
  expect(await restore(bare.store, before, [later])).toBe('done');
  expect(await bare.raw.hget(bare.keys.record('a'), 'incarnation')).toBe('life-2');
  expect(await statusOf(bare)).toBe('ready');
  expect(await bare.raw.xlen(bare.keys.events)).toBe(events);
});

test('who was removed behind the position stays removed: the log is the tombstone', async () => {
  const bare = await openBare();
  await register(bare);
  const before = await placeOf(bare);
  await remove(bare);
  for (const mode of ['missing', 'over'] as const) expect(await restore(bare.store, before, [word('9999999999999-0', mode)])).toBe('done');
  expect(await statusOf(bare)).toBe('none');
});

test.each([
  ['the earlier first', [1000, 2000]],
  ['the later first', [2000, 1000]],
  ['of one millisecond, the greater number last', ['1000-9', '1000-10']],
  ['of one millisecond, the greater number first', ['1000-10', '1000-9']],
])('of two words on one id the later stands: %s', async (_, order) => {
  const bare = await openBare();
  const before = await placeOf(bare);
  const later = order.map(String).includes('2000') ? 2000 : '1000-10';
  for (const of of order) await restore(bare.store, before, [word(of, 'over', { status: of === later ? 'error' : 'initializing' })]);
  expect(await statusOf(bare)).toBe('error');
  expectAgreement(await readStore(bare.raw, bare.keys));
});

test('the same word of two replicas is written once', async () => {
  const bare = await openBare();
  const before = await placeOf(bare);
  for (let i = 0; i < 2; i++) expect(await restore(bare.store, before, [word(1000)])).toBe('done');
  expect(await eventsIn(bare.raw, bare.keys.events)).toMatchObject([{ kind: 'restored', cause: 'recovery', of: '1000-0', instanceId: 'a', incarnation: 'life-1' }]);
});

test.each([
  ['missing', 'ready', 0],
  ['over', 'error', 1],
] as const)('on an instance that is there and that nobody named, "%s" leaves it %s', async (mode, status, events) => {
  const bare = await openBare();
  await register(bare);
  const place = await placeOf(bare);
  const before = await bare.raw.xlen(bare.keys.events);
  expect(await restore(bare.store, place, [word(1000, mode, { status: 'error' })])).toBe('done');
  expect(await statusOf(bare)).toBe(status);
  expect((await bare.raw.xlen(bare.keys.events)) - before).toBe(events);
  expectAgreement(await readStore(bare.raw, bare.keys));
});

test.each([true, false])('"remove" writes one event, and a later "missing" of an older word does not bring it back (it is there: %s)', async (isThere) => {
  const bare = await openBare();
  if (isThere) await register(bare);
  const place = await placeOf(bare);
  const before = await bare.raw.xlen(bare.keys.events);
  expect(await restore(bare.store, place, [word(2000, 'remove', { customState: 'last words' })])).toBe('done');
  expect(await restore(bare.store, place, [word(2000, 'remove')])).toBe('done');
  expect(await restore(bare.store, place, [word(1000)])).toBe('done');
  const events = (await eventsIn(bare.raw, bare.keys.events)).slice(before);
  expect(events).toMatchObject([{ kind: 'removed', cause: 'replay', of: '2000-0', instanceId: 'a', type: 'game', group: 'kr-1' }]);
  expect(await statusOf(bare)).toBe('none');
  expectAgreement(await readStore(bare.raw, bare.keys));
});

test('a removal is not the last word when a later one on the same id was lost too', async () => {
  const bare = await openBare();
  const place = await placeOf(bare);
  await restore(bare.store, place, [word(2000, 'remove')]);
  await restore(bare.store, place, [word(3000, 'over', { incarnation: 'life-2' })]);
  expect(await bare.raw.hget(bare.keys.record('a'), 'incarnation')).toBe('life-2');
});

test('what is restored has its incarnation, a whole record and face, and a lease from now', async () => {
  const bare = await openBare();
  const place = await placeOf(bare);
  const from = await redisNow(bare.raw);
  const full = instance({ ports: [{ port: 80, protocol: 'tcp' }], labels: { zone: 'b' }, cordoned: true, customState: 'x', performance: { tps: 20 }, systemInfo: { os: 'linux' } });
  await restore(bare.store, place, [{ ...word(1000), instance: () => full }]);
  const state = await readStore(bare.raw, bare.keys);
  expectAgreement(state);
  const given = encodeInstance(full);
  const expected = Object.fromEntries(given.flatMap((field, i) => (i % 2 === 0 ? [[field, given[i + 1]]] : [])));
  expect(state.records.get('a')).toMatchObject(expected);
  const score = state.leases.get('game:kr-1:a') ?? 0;
  expect(score).toBeGreaterThanOrEqual(from + 30_000);
  expect(score).toBeLessThanOrEqual((await redisNow(bare.raw)) + 30_000);
  expect(Date.parse(state.records.get('a')?.expiresAt ?? '')).toBe(score);
  expect(await bare.raw.pttl(bare.keys.face('a'))).toBeGreaterThan(25_000);
});

test('a word on one that Redis has in another group moves it, and says so', async () => {
  const bare = await openBare();
  await register(bare);
  await restore(bare.store, await placeOf(bare), [word(1000, 'over', { group: 'eu-1' })]);
  const state = await readStore(bare.raw, bare.keys);
  expectAgreement(state);
  expect([...state.leases.keys()]).toEqual(['game:eu-1:a']);
  expect((await eventsIn(bare.raw, bare.keys.events)).at(-1)).toMatchObject({ kind: 'restored', group: 'eu-1', fromType: 'game', fromGroup: 'kr-1' });
});

test('a word that fails does not keep the others, and destroys nothing', async () => {
  const bare = await openBare();
  await register(bare);
  await bare.raw.rpush(bare.keys.record('bad'), 'a key of another type, written by hand');
  const words = [word(1000, 'over', { instanceId: 'bad' }), word(1000, 'missing', { instanceId: 'b' }), word(1000, 'missing', { instanceId: 'c' })];
  expect(await restore(bare.store, await placeOf(bare), words)).toBe('done');
  expect([await statusOf(bare, 'a'), await statusOf(bare, 'b'), await statusOf(bare, 'c')]).toEqual(['ready', 'ready', 'ready']);
});
