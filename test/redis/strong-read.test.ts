import { expect, test } from 'vitest';
import { openRegistry } from '../helpers/gateway.js';
import { CALLER, complete } from '../helpers/store.js';
import { until } from '../helpers/until.js';

const MANY = 400;

test('a strong read sees a heartbeat that was acknowledged in the same millisecond', async () => {
  const { registry, view } = await openRegistry();
  const ids = Array.from({ length: MANY }, (_, i) => `i-${i}`);
  await Promise.all(ids.map((instanceId) => registry.register(complete({ instanceId, ttlSeconds: 1 }), CALLER)));
  await until(() => view.size === MANY && view.groups.list().length === 0); // all have lapsed, and nobody sweeps
  const unseen: string[] = [];
  for (const instanceId of ids) {
    expect(await registry.heartbeat([{ instanceId }])).toMatchObject([{ status: 200 }]);
    if (!(await registry.find(instanceId, { strong: true })).found) unseen.push(instanceId);
  }
  expect(unseen).toEqual([]);
});
