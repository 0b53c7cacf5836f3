import { expect, test } from 'vitest';
import { lastKnown } from '../../src/redis/recovery/common-entry.js';
import { Ring } from '../../src/registry/log/ring.js';
import { change, record } from '../registry/sample.js';
import { complete } from '../helpers/store.js';
import { openBare, openReplica, type Bare } from './helpers/replica.js';

const FUTURE_MS = Date.now() + 60_000;
const idIn = (ms: number) => `${FUTURE_MS + ms}-1`;

/** A replica's latest changes, of an epoch of before, by a clock that was ahead. */
function remembered(ids: string[]): Ring {
  const ring = new Ring(10);
  for (const id of ids) ring.push(change(id, 'updated', record(), { epoch: 'before' }));
  return ring;
}

async function logOf({ store, raw, keys }: Bare, count: number) {
  const { registry, close } = await openReplica({ store, raw, keys, prefix: keys.prefix, redisUrl: (await openBare()).redisUrl });
  for (let i = 0; i < count; i++) await registry.register(complete({ instanceId: `i-${i}` }), { name: 'test' });
  await close();
  const [epoch = '', from = ''] = await raw.hmget(keys.epoch, 'id', 'from');
  const ids = (await raw.xrange(keys.events, '-', '+')).map(([id]) => id);
  return { epoch: epoch ?? '', from, ids };
}

test('behind the beginning of an epoch that was never read all is news, though its clock is behind', async () => {
  const bare = await openBare();
  const { epoch, from } = await logOf(bare, 5);
  expect(from).toBe('');
  expect(await lastKnown(bare.store, remembered(Array.from({ length: 20 }, (_, i) => idIn(i))), { epoch, from })).toBe('');
});

test('what stands before that beginning counts as read where it is older than all that is remembered, and what is remembered is common', async () => {
  const bare = await openBare();
  const { epoch, ids } = await logOf(bare, 5);
  const full = Array.from({ length: 20 }, (_, i) => idIn(i));
  expect(await lastKnown(bare.store, remembered(full), { epoch, from: ids[2] as string })).toBe(ids[2]);
  expect(await lastKnown(bare.store, remembered([ids[1] as string, ...full.slice(0, 5)]), { epoch, from: ids[3] as string })).toBe(ids[1]);
  expect(await lastKnown(bare.store, remembered(full), { epoch: 'before', from: '' }), 'an epoch that was read').toBe(ids[4]);
});
