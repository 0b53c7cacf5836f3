import { expect, onTestFinished, test } from 'vitest';
import { parseRedisUrl } from '../../src/redis/url.js';
import { openRegistry } from '../helpers/gateway.js';
import { startRedis } from '../helpers/redis.js';
import { openGate } from '../helpers/redis-gate.js';
import { CALLER, complete } from '../helpers/store.js';
import { until } from '../helpers/until.js';
import { openView } from '../helpers/view.js';

/** More than a read takes of one stream. */
const MANY = 300;

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
