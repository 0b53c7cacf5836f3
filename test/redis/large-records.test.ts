import { expect, test } from 'vitest';
import { openRegistry } from '../helpers/gateway.js';
import { eventsIn } from '../helpers/events.js';
import { CALLER, complete, expectAgreement, readStore } from '../helpers/store.js';

const LARGE = { systemInfo: { text: 'x'.repeat(8000) }, labels: Object.fromEntries(Array.from({ length: 32 }, (_, i) => [`key-${i}`, 'y'.repeat(240)])) };

test('many changes of one instance in one call are one event with the last state, and each is answered its revision', async () => {
  const { registry, raw, keys } = await openRegistry();
  await registry.register(complete({ labels: { zone: 'a' } }), CALLER);
  const results = await registry.heartbeat([
    { instanceId: 'a', customState: 'one', labels: { zone: 'b', more: 'c' } },
    { instanceId: 'a', status: 'error', performance: { cpu: 1 } },
    { instanceId: 'a', incarnation: 'another', customState: 'not mine' },
    { instanceId: 'a' },
    { instanceId: 'a', customState: 'two', labels: { more: null } },
  ]);
  expect(results.map(({ status }) => status)).toEqual([200, 200, 409, 200, 200]);
  const [, ...updated] = await eventsIn(raw, keys.events);
  expect(updated).toMatchObject([{ kind: 'updated', cause: 'heartbeat', customState: 'two', status: 'error', labels: '{"zone":"b"}', performance: '{"cpu":1}' }]);
  expect(updated).toHaveLength(1);
  const revision = await raw.hget(keys.record('a'), 'revision');
  expect(new Set(results.flatMap((result) => (result.status === 200 ? [result.revision] : [])))).toEqual(new Set([revision]));
  expectAgreement(await readStore(raw, keys));
});

test('changes that undo each other in one call tell nothing', async () => {
  const { registry, raw, keys } = await openRegistry();
  const { revision } = await registry.register(complete({ customState: 'a' }), CALLER);
  const states = ['b', 'c', null, 'a'];
  expect(await registry.heartbeat(states.map((customState) => ({ instanceId: 'a', customState })))).toMatchObject(states.map(() => ({ status: 200, revision })));
  expect(await raw.xlen(keys.events)).toBe(1);
  expectAgreement(await readStore(raw, keys));
});

test('the log is bounded in bytes: of large records fewer entries are kept, and of small ones as many as before', async () => {
  const { store, registry, raw, keys } = await openRegistry({ eventsMax: 300 });
  const ids = Array.from({ length: 25 }, (_, i) => `i-${i}`);
  const flip = async (times: number) => {
    for (let n = 0; n < times; n++) await store.turns.beats(ids.map((id) => [id, 'c', `=${n}`]));
  };
  await Promise.all(ids.map((instanceId) => registry.register(complete({ instanceId, ...LARGE }), CALLER)));
  await flip(12);
  expect(await raw.xlen(keys.events)).toBeLessThan(170);
  expect(await raw.memory('USAGE', keys.events)).toBeLessThan(5_000_000);
  await Promise.all(ids.map((instanceId) => registry.register(complete({ instanceId, incarnation: 'life-2' }), CALLER)));
  await flip(75);
  expect(await raw.xlen(keys.events)).toBeGreaterThan(250);
  expect(await raw.memory('USAGE', keys.events)).toBeLessThan(5_000_000);
});

test('the work of one call is bounded: large records and changes make more calls', async () => {
  const { store, registry, raw, keys } = await openRegistry();
  /** The ids of each call that goes out meanwhile. */
  const sent = async (verb: 'register' | 'heartbeat', run: () => Promise<unknown>) => {
    const command = store.scripts.command.bind(store.scripts);
    const sizes: number[] = [];
    store.scripts.command = (given, args, how) => {
      if (given === verb) sizes.push(args.filter((arg) => /^i-\d+$/.test(String(arg))).length);
      return command(given, args, how);
    };
    await run();
    store.scripts.command = command;
    return { most: Math.max(...sizes), all: sizes.reduce((sum, size) => sum + size, 0) };
  };
  const ids = Array.from({ length: 60 }, (_, i) => `i-${i}`);
  const large = await sent('register', () => Promise.all(ids.map((instanceId) => registry.register(complete({ instanceId, ...LARGE }), CALLER))));
  expect(large).toEqual({ most: 4, all: 60 });
  const changed = await sent('heartbeat', () => store.turns.beats(ids.map((id) => [id, 'c', '=x'])));
  expect(changed).toEqual({ most: 15, all: 60 });
  const plain = await sent('heartbeat', () => store.turns.beats(ids.map((id) => [id, ''])));
  expect(plain).toEqual({ most: 60, all: 60 });
  const one = await sent('heartbeat', () => store.turns.beats(ids.map((_, n) => ['i-1', 'c', `=${n}`])));
  expect(one).toEqual({ most: 60, all: 60 });
  expect(await raw.zcard(keys.leases)).toBe(60);
});
