import { expect, onTestFinished, test } from 'vitest';
import { parseRedisUrl } from '../../src/redis/connect/url.js';
import { openRegistry } from '../helpers/gateway.js';
import { startRedis } from '../helpers/redis.js';
import { openGate } from '../helpers/redis-gate.js';
import { CALLER, complete } from '../helpers/store.js';
import { until } from '../helpers/until.js';
import { openView } from '../helpers/view.js';

/** More than a read takes of one stream. */
const MANY = 600;

test('a heartbeat counts for an instance whose registration did not fit into the same read', async () => {
  const redis = await startRedis();
  onTestFinished(redis.stop);
  const gate = await openGate(redis.port);
  onTestFinished(gate.close);
  const { store, registry, raw, keys } = await openRegistry({ redisUrl: redis.url });
  const { view } = await openView(store, { target: parseRedisUrl(`redis://127.0.0.1:${gate.port}`) });

  gate.cut();
  const ids = Array.from({ length: MANY }, (_, i) => `i-${i}`);
  await Promise.all(ids.map((instanceId) => registry.register(complete({ instanceId }), CALLER)));
  const lastId = ids.at(-1) as string;
  const registeredAt = await raw.hget(keys.record(lastId), 'lastHeartbeat');
  await until(async () => {
    await registry.heartbeat(ids.map((instanceId) => ({ instanceId })));
    return (await raw.hget(keys.record(lastId), 'lastHeartbeat')) !== registeredAt;
  });
  const renewedAt = Date.parse((await raw.hget(keys.record(lastId), 'lastHeartbeat')) ?? '');

  gate.mend();
  await until(() => view.size === MANY && view.table.watermarkMs >= renewedAt);
  for (const [id, member] of view.table.members) {
    expect([id, new Date(member.renewedAtMs).toISOString()]).toEqual([id, await raw.hget(keys.record(id), 'lastHeartbeat')]);
  }
});

test('while a long backlog is read, nobody is missing whose heartbeats stand behind it', async () => {
  const redis = await startRedis();
  onTestFinished(redis.stop);
  const gate = await openGate(redis.port);
  onTestFinished(gate.close);
  const { store, registry } = await openRegistry({ redisUrl: redis.url });
  await registry.register(complete({ instanceId: 'x', group: 'of-its-own', ttlSeconds: 2 }), CALLER);
  const { view } = await openView(store, { target: parseRedisUrl(`redis://127.0.0.1:${gate.port}`) });
  expect(view.find('x')).toBeDefined();

  gate.cut();
  const cutAt = performance.now();
  let registered = 0;
  await until(async () => {
    const batch = Array.from({ length: 70 }, () => registry.register(complete({ instanceId: `i-${registered++}` }), CALLER));
    const [[beat]] = await Promise.all([registry.heartbeat([{ instanceId: 'x' }]), ...batch]);
    expect(beat?.status).toBe(200);
    return performance.now() - cutAt > 3000 && registered > 2.5 * MANY; // more than its lease, and than two reads take
  }, 20_000, 200);
  expect(view.size).toBe(1);

  const looks: { size: number; x: boolean }[] = [];
  const settle = view.settle.bind(view);
  view.settle = (changes) => {
    settle(changes);
    looks.push({ size: view.size, x: view.find('x') !== undefined });
  };
  gate.mend();
  await until(async () => {
    await registry.heartbeat([{ instanceId: 'x' }]);
    return view.size === registered + 1 && view.staleMs === undefined;
  });
  expect(looks.filter(({ size }) => size > 1 && size < registered + 1).length, 'looked at before all was read').toBeGreaterThanOrEqual(2);
  expect(looks.filter(({ x }) => !x)).toEqual([]);
});
