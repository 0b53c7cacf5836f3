import { expect, test } from 'vitest';
import { serve } from '../../src/redis/serve.js';
import { restore } from '../../src/redis/recovery/restore.js';
import { buildGateway } from '../helpers/gateway.js';
import { CALLER, complete, redisNow } from '../helpers/store.js';
import { until } from '../helpers/until.js';
import { empty } from './helpers/loss.js';
import { ALL, openBare, openReplica } from './helpers/replica.js';

const MANY = 1000; // five calls

test('a replica that starts while another gives back what was lost, and pauses, takes no part for the whole', { timeout: 40_000 }, async () => {
  const bare = await openBare();
  const { raw, keys } = bare;
  await raw.set(keys.alive, Date.now());
  const knows = await openReplica(bare);
  for (let from = 0; from < MANY; from += 100) {
    await Promise.all(Array.from({ length: 100 }, (_, i) => knows.registry.register(complete({ instanceId: `i-${from + i}` }), CALLER)));
  }
  await until(() => knows.view.table.members.size === MANY && knows.view.pending.size === 0);
  await empty(raw, keys);
  while ((await raw.zcard(keys.leases)) === 0);
  knows.gate.halt();
  expect(await raw.zcard(keys.leases)).toBeLessThan(MANY);
  await raw.hset(keys.epoch, 'at', Date.now() - 60_000); // long ago, so that it is not its youth that is waited for
  const starting = await openReplica(bare, { ownStore: false });
  const until2 = (await redisNow(raw)) + 2500;
  await until(async () => starting.view.loaded || (await redisNow(raw)) > until2);
  expect(starting.view.loaded).toBe(false);
  knows.gate.cut();
  knows.gate.mend();
  await until(() => starting.view.loaded);
  expect(starting.view.table.members.size).toBe(MANY);
  expect([await raw.exists(keys.speakers), await raw.hget(keys.epoch, 'whole')]).toEqual([0, '1']);
  expect(starting.view.recoveringMs).toBeUndefined();
  await until(() => knows.seen.recoveries === 1 && knows.view.answer(ALL).etag === starting.view.answer(ALL).etag);
});

test('an epoch that began with nothing that anybody knew says for how long servers come back, on every answer', async () => {
  const bare = await openBare();
  const { raw, keys, prefix } = bare;
  const { view, store } = await openReplica(bare, { ownStore: false });
  await until(async () => (await raw.hget(keys.epoch, 'id')) !== null);
  await raw.hset(keys.epoch, 'at', (await redisNow(raw)) - 10_000);
  const { call } = await buildGateway({ prefix, registry: serve(store, view), view });
  await until(() => view.loaded);
  const { headers } = await call.get('/instances').expect(200);
  for (const path of ['/instances', '/instances/nobody', '/groups']) {
    const seconds = Number((await call.get(path)).headers['x-recovering']);
    expect(seconds).toBeGreaterThan(0);
    expect(seconds).toBeLessThanOrEqual(20);
  }
  expect((await call.get('/instances').set('If-None-Match', headers.etag as string).expect(304)).headers['x-recovering']).toBeDefined();
  await raw.hset(keys.epoch, 'at', (await redisNow(raw)) - 31_000);
  await until(() => view.recoveringMs === undefined);
  expect((await call.get('/instances')).headers['x-recovering']).toBeUndefined();
});

test('what one replica has given back is not taken for the whole while another has still to speak', { timeout: 40_000 }, async () => {
  const bare = await openBare();
  const { store, raw, keys } = bare;
  await raw.set(keys.alive, Date.now());
  await raw.hset(keys.epoch, { id: 'long-ago', at: Date.now() - 60_000 });
  const knows = await openReplica(bare, { ownStore: false });
  await until(() => knows.view.loaded);
  await knows.registry.register(complete(), CALLER);
  await until(() => knows.view.pending.size === 0);

  await empty(raw, keys);
  await until(async () => (await raw.zcard(keys.speakers)) === 1);
  const epoch = (await raw.hget(keys.epoch, 'id')) as string;
  await store.scripts.run(store.connection, 'claim', [epoch, 0, '', '', 'another']);
  await until(() => knows.seen.recoveries === 1);
  expect(await raw.zrange(keys.speakers, '0', '-1')).toEqual(['another']);
  await raw.hset(keys.epoch, 'at', Date.now() - 60_000); // so that it is not its youth that is waited for
  const starting = await openReplica(bare, { ownStore: false });
  const until4 = (await redisNow(raw)) + 4000; // longer than a loss counts as recent
  const early = new Set<string>();
  await until(async () => {
    if (knows.view.staleMs === undefined) early.add('answers as if it knew all');
    if (starting.view.loaded) early.add('takes a part for the whole');
    return (await redisNow(raw)) > until4;
  });
  expect([...early]).toEqual([]);
  const head = (await raw.hget(keys.epoch, 'head')) as string;
  expect(await restore(store, { epoch, id: head }, [], 'another')).toBe('done');
  await until(() => knows.view.staleMs === undefined && starting.view.loaded, 1000);
  expect(await raw.exists(keys.speakers)).toBe(0);
});

test('for 3 s after another epoch came no answer is taken for sure: a replica that comes late may know more', { timeout: 20_000 }, async () => {
  const bare = await openBare();
  const { raw, keys } = bare;
  await raw.set(keys.alive, Date.now());
  const knows = await openReplica(bare);
  await knows.registry.register(complete(), CALLER);
  await until(() => knows.view.pending.size === 0);
  await empty(raw, keys);
  await until(() => knows.seen.recoveries === 1);
  expect(await raw.exists(keys.speakers)).toBe(0);
  const until2 = performance.now() + 2000;
  let sure = false;
  await until(() => {
    sure ||= knows.view.staleMs === undefined;
    return performance.now() > until2;
  });
  expect(sure).toBe(false);
  await until(() => knows.view.staleMs === undefined, 2000);
});
