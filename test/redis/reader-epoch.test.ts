import { expect, test } from 'vitest';
import { openRegistry } from '../helpers/gateway.js';
import { CALLER, complete } from '../helpers/store.js';
import { until } from '../helpers/until.js';

test('a view of nothing, whose store is emptied, goes on in the new epoch', async () => {
  const { registry, view, raw, keys } = await openRegistry();
  const { epoch } = view.table.position;
  await raw.del(keys.epoch);
  await until(() => view.table.position.epoch !== epoch);
  await registry.register(complete(), CALLER);
  expect((await registry.discover({ limit: 10 })).answer.read().instances).toMatchObject([{ instanceId: 'a' }]);
});
