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
  const { store, registry, raw, keys } = await openRegistry({ eventsMax: 1000 });
  const ids = Array.from({ length: 25 }, (_, i) => `i-${i}`);
  const flip = async (times: number) => {
    for (let n = 0; n < times; n++) await store.turns.beats(ids.map((id) => [id, 'c', `=${n}`]));
  };
  await Promise.all(ids.map((instanceId) => registry.register(complete({ instanceId, ...LARGE }), CALLER)));
  await flip(40);
  expect(await raw.xlen(keys.events)).toBeLessThan(250);
  expect(await raw.memory('USAGE', keys.events)).toBeLessThan(5_000_000);
  await Promise.all(ids.map((instanceId) => registry.register(complete({ instanceId, incarnation: 'life-2' }), CALLER)));
  await flip(160);
  expect(await raw.xlen(keys.events)).toBeGreaterThan(900);
  expect(await raw.memory('USAGE', keys.events)).toBeLessThan(5_000_000);
});
