import { afterEach, expect, test, vi } from 'vitest';
import { buildGateway, registration } from '../helpers/gateway.js';
import { redisNow } from '../helpers/store.js';

const HOUR_MS = 3_600_000;

afterEach(() => void vi.useRealTimers());

test.each([
  { clock: 'an hour ahead', skewMs: HOUR_MS },
  { clock: 'an hour behind', skewMs: -HOUR_MS },
])('a gateway whose clock is $clock writes the same leases, shows and sweeps the same instances as any', async ({ skewMs }) => {
  vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + skewMs });
  const { call, raw, keys, maintenance } = await buildGateway();
  await call.post('/instances').send(registration({ instanceId: 'a' })).expect(201);
  await call.post('/instances/a/heartbeat').expect(200);

  const left = Number(await raw.zscore(keys.leases, 'game:kr-1:a')) - (await redisNow(raw));
  expect(left).toBeGreaterThan(25_000);
  expect(left).toBeLessThanOrEqual(30_000);
  const { body } = await call.get('/instances?type=game&group=kr-1').expect(200);
  expect(body.instances).toMatchObject([{ instanceId: 'a' }]);
  expect(Math.abs(Date.parse(body.instances[0].lastHeartbeat as string) - (await redisNow(raw)))).toBeLessThan(5000);
  expect(await maintenance.sweep()).toMatchObject({ evicted: [] });
});
