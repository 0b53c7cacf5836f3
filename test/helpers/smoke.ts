import type { Redis } from 'ioredis';
import { expect, onTestFinished } from 'vitest';
import { RedisMaintenance } from '../../src/redis/upkeep/maintenance.js';
import { openStore } from '../../src/redis/open-store.js';
import type { ConnectionConfig } from '../../src/redis/connect/connection.js';
import { serve } from '../../src/redis/serve.js';
import type { Store } from '../../src/redis/scripts/store.js';
import { silent } from './gateway.js';
import type { ServedRegistry } from '../../src/registry/served/served-registry.js';
import { openView, strongByDefault } from './view.js';
import { CALLER, complete, expectAgreement, expectChain, lapse, readStore } from './store.js';

interface Smoke {
  store: Store;
  registry: ServedRegistry;
  /** Closes what is open to the store. */
  close: () => Promise<void>;
}

/** A store and a view of a Redis that a test started itself; closed when the test is over. */
export async function openSmoke(config: ConnectionConfig, prefix: string, plainLua = false): Promise<Smoke> {
  const store = await openStore(config, { prefix, eventsMax: 1000, plainLua }, silent);
  const opened = await openView(store, config);
  const close = async () => {
    await opened.close();
    store.connection.disconnect();
  };
  onTestFinished(close);
  return { store, close, registry: strongByDefault(serve(store, opened.view)) };
}

/** Every verb once, on whatever kind of Redis is behind `store`; `raw` looks at its keys. */
export async function exercise({ store, registry }: Smoke, raw: Redis) {
  const { keys } = store;
  const maintenance = new RedisMaintenance(store, { minSeconds: 1, maxSeconds: 3600 }, silent);
  const ids = ['a', 'b', 'c'];
  await raw.del(keys.grace); // an empty Redis begins with one

  const registered = await Promise.all(ids.map((instanceId) => registry.register(complete({ instanceId, labels: { zone: 'a' } }), CALLER)));
  expect(registered.map(({ outcome }) => outcome)).toEqual(['created', 'created', 'created']);
  expect(await registry.heartbeat(ids.map((instanceId) => ({ instanceId, performance: { tps: 60 } })))).toMatchObject(ids.map(() => ({ status: 200 })));
  expect(await registry.heartbeat([{ instanceId: 'nobody' }])).toMatchObject([{ status: 404 }]);
  const { instance } = await registry.patch('a', { status: 'error', labels: { zone: null, tier: 'b/c' } }, CALLER);
  expect(instance).toMatchObject({ status: 'error', labels: { tier: 'b/c' }, performance: { tps: 60 } });
  expect(await registry.register(complete({ instanceId: 'b', group: 'us-1', incarnation: 'life-2' }), CALLER)).toMatchObject({ outcome: 'replaced' });
  expect(await registry.locate(['a', 'b', 'x'])).toEqual([{ type: 'game', group: 'kr-1' }, { type: 'game', group: 'us-1' }, undefined]);
  await registry.remove('a', { incarnation: 'life-1' }, CALLER);
  expect((await registry.discover({ limit: 10 })).answer.read().instances.map(({ instanceId }) => instanceId)).toEqual(['c', 'b']);

  await lapse(raw, keys, ['c']);
  expect(await maintenance.sweep()).toEqual({ evicted: ['game:kr-1:c'], rescored: 0, held: 0, more: false });
  await raw.sadd(keys.members('game:kr-1'), 'ghost');
  await raw.multi().hset(keys.face('hand'), { hostname: 'h' }).expire(keys.face('hand'), 30).sadd(keys.members('game:kr-1'), 'hand').exec();
  expect(await maintenance.claimReconcile(1000)).toBe(true);
  expect(await maintenance.reconcile(AbortSignal.timeout(5000))).toEqual({ removed: 1, adopted: ['game:kr-1:hand'] });

  expect((await registry.groups()).groups).toMatchObject([{ group: 'kr-1', instances: 1 }, { group: 'us-1', instances: 1 }]);
  const state = await readStore(raw, keys);
  expectAgreement(state);
  expectChain(state.events);
  expect(state.events.map(({ kind }) => kind)).toEqual([
    'registered', 'registered', 'registered', 'updated', 'registered', 'removed', 'expired', 'registered',
  ]);
}
