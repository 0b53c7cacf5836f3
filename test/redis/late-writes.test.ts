import { expect, inject, onTestFinished, test } from 'vitest';
import { StoreClock } from '../../src/redis/connect/store-clock.js';
import { openRegistry } from '../helpers/gateway.js';
import { openGate, Trap } from '../helpers/redis-gate.js';
import { CALLER, complete, readStore } from '../helpers/store.js';

/** A registry whose words to Redis a gate can hold back. */
async function behindGate() {
  const gate = await openGate(Number(new URL(inject('redisUrl')).port));
  onTestFinished(gate.close);
  return { gate, ...(await openRegistry({ redisUrl: `redis://127.0.0.1:${gate.port}` })) };
}
type Gated = Awaited<ReturnType<typeof behindGate>>;

const WRITES: Record<string, (registry: Gated['registry']) => Promise<unknown>> = {
  'a registration': (registry) => registry.register(complete({ instanceId: 'held', incarnation: 'life-2' }), CALLER),
  'a heartbeat that changes something': (registry) => registry.heartbeat([{ instanceId: 'held', customState: 'late' }]),
  'a patch': (registry) => registry.patch('held', { customState: 'late' }, CALLER),
  'a removal': (registry) => registry.remove('held', {}, CALLER),
};

test.each(Object.entries(WRITES))('%s that was refused because Redis did not answer is not done when Redis comes to it at last', async (_, write) => {
  const { gate, registry, raw, keys } = await behindGate();
  await registry.register(complete({ instanceId: 'held' }), CALLER);
  const before = await readStore(raw, keys);
  let release: () => Promise<void> = () => Promise.resolve();
  gate.arm(new Trap('held', (_gate, letGo) => (release = letGo)));
  await expect(write(registry)).rejects.toMatchObject({ code: 'store_unavailable' });
  await release();
  const after = await readStore(raw, keys);
  expect([after.records.get('held'), after.events]).toEqual([before.records.get('held'), before.events]);
});

test.each([-3_600_000, -5000, 5000])('writes go on, in their order, when the clock of Redis is %i ms from what it was', async (ms) => {
  const { registry, reader, store, raw, keys } = await openRegistry();
  await reader.stop(); // else it would know within 20 ms
  const now = performance.now();
  store.clock.take(Date.now() + ms, now, now);
  const beat = (customState: string) => registry.heartbeat([{ instanceId: 'a', customState }]).then(([result]) => result?.status);
  const first = [registry.register(complete(), CALLER).then(({ outcome }) => outcome), beat('1')];
  await new Promise(setImmediate);
  await new Promise(setImmediate); // they are on the wire
  expect(await Promise.all([...first, beat('2'), registry.remove('a', {}, CALLER).then(() => 'removed')])).toEqual(['created', 200, 200, 'removed']);
  const { events } = await readStore(raw, keys);
  expect(events.map(({ kind, customState = '' }) => `${kind} ${customState}`.trim())).toEqual(['registered', 'updated 1', 'updated 2', 'removed 2']);
});

test('what the clock of Redis may say is bounded by each of its replies, and told anew by one that contradicts', () => {
  const clock = new StoreClock();
  expect(clock.latestAt(0)).toBeUndefined();
  clock.take(10_000, 100, 200);
  expect(clock.latestAt(200)).toBe(10_101); // it may have been said at once
  clock.take(10_150, 195, 500);
  expect(clock.latestAt(200)).toBe(10_101); // that is between the bounds, and wider
  clock.take(10_310, 400, 401);
  expect(clock.latestAt(401)).toBe(10_312);
  clock.take(5000, 600, 610);
  expect(clock.latestAt(610)).toBe(5011);
});
