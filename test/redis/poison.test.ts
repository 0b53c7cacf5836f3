import { pino } from 'pino';
import { expect, test } from 'vitest';
import { RedisMaintenance } from '../../src/redis/upkeep/maintenance.js';
import type { Keys } from '../../src/redis/scripts/keys.js';
import type { Redis } from 'ioredis';
import { openRegistry } from '../helpers/gateway.js';
import { CALLER, complete, lapse } from '../helpers/store.js';
import { until } from '../helpers/until.js';
import { watchFrames } from '../helpers/watch-frames.js';

// What a hand with redis-cli can do to one instance, here to the one called `bad`.
const SPOILT: { title: string; spoil: (raw: Redis, keys: Keys) => Promise<unknown> }[] = [
  { title: 'its record is of the wrong type', spoil: (raw, keys) => raw.multi().del(keys.record('bad')).set(keys.record('bad'), 'x').exec() },
  { title: 'its face is of the wrong type', spoil: (raw, keys) => raw.multi().del(keys.face('bad')).set(keys.face('bad'), 'x', 'EX', 30).exec() },
  { title: 'its record has lost its type', spoil: (raw, keys) => raw.hdel(keys.record('bad'), 'type') },
  { title: 'its record has lost its group', spoil: (raw, keys) => raw.hdel(keys.record('bad'), 'group') },
  { title: 'its record says nothing of its ttl', spoil: (raw, keys) => raw.hdel(keys.record('bad'), 'ttlSeconds') },
  { title: 'its record holds nested fields that are not JSON', spoil: (raw, keys) => raw.hset(keys.record('bad'), { labels: '{', ports: 'x', systemInfo: '[' }) },
  { title: 'its record is gone', spoil: (raw, keys) => raw.del(keys.record('bad')) },
  { title: 'its lease is gone', spoil: (raw, keys) => raw.zrem(keys.leases, 'game:kr-1:bad') },
  { title: 'a lease names nothing', spoil: (raw, keys) => raw.zadd(keys.leases, 1, 'junk') },
  { title: 'a stray face of the wrong type stands in the group', spoil: (raw, keys) => raw.multi().set(keys.face('stray'), 'x', 'EX', 30).sadd(keys.members('game:kr-1'), 'stray').exec() },
  { title: 'the index names a group that is none', spoil: (raw, keys) => raw.sadd(keys.groups, 'junk', 'game:kr-1:more', '') },
];

async function spoiltGroup(spoil: (typeof SPOILT)[number]['spoil']) {
  const opened = await openRegistry();
  const { registry, raw, keys } = opened;
  for (const instanceId of ['a', 'bad', 'z']) await registry.register(complete({ instanceId }), CALLER);
  await spoil(raw, keys);
  return opened;
}

test.each(SPOILT)('when $title, the others are still discovered', async ({ spoil }) => {
  const { registry } = await spoiltGroup(spoil);
  for (const query of [{ limit: 10 }, { type: 'game', group: 'kr-1', limit: 10 }]) {
    const { instances } = (await registry.discover(query)).answer.read();
    const others = instances.map(({ instanceId }) => instanceId).filter((id) => id !== 'bad');
    expect(others).toEqual(['a', 'z']);
  }
  expect((await registry.groups()).groups).toMatchObject([{ type: 'game', group: 'kr-1' }]);
});

test.each(SPOILT)('when $title, the others are still swept', async ({ spoil }) => {
  const { maintenance, raw, keys } = await spoiltGroup(spoil);
  await lapse(raw, keys, ['a', 'bad', 'z']);
  const { evicted } = await maintenance.sweep();
  expect(evicted.filter((member) => /:(a|z)$/.test(member)).sort()).toEqual(['game:kr-1:a', 'game:kr-1:z']);
  const again = await maintenance.sweep();
  expect(again.evicted.filter((member) => member.endsWith(':bad')), 'what is spoilt does not come back for ever').toEqual([]);
});

test.each(SPOILT)('when $title, ghosts still go and instances written by hand are still adopted', async ({ spoil }) => {
  const { maintenance, raw, keys } = await spoiltGroup(spoil);
  await raw.sadd(keys.members('game:kr-1'), 'ghost');
  for (const id of ['aaa', 'hand', 'zzz']) await raw.multi().hset(keys.face(id), { hostname: 'h' }).expire(keys.face(id), 30).sadd(keys.members('game:kr-1'), id).exec();
  const { adopted } = await maintenance.reconcile(AbortSignal.timeout(5000));
  expect(adopted.sort()).toEqual(expect.arrayContaining(['game:kr-1:aaa', 'game:kr-1:hand', 'game:kr-1:zzz']));
  expect(await raw.sismember(keys.members('game:kr-1'), 'ghost')).toBe(0);
});

test.each(['x', '', '0', '-5', 'inf', 'nan', '1e300'])('a live instance whose record says %j of its ttl beats on, and its record is mended', async (ttlSeconds) => {
  const { registry, maintenance, raw, keys } = await openRegistry();
  await registry.register(complete({ instanceId: 'bad', ttlSeconds: 30 }), CALLER);
  await raw.hset(keys.record('bad'), { ttlSeconds });
  expect(await registry.heartbeat([{ instanceId: 'bad', incarnation: 'life-1' }])).toMatchObject([{ status: 200, ttlMs: 30_000 }]);
  expect((await maintenance.sweep()).evicted).toEqual([]);
  expect(await raw.hget(keys.record('bad'), 'ttlSeconds')).toBe('30');
});

test.each(['leases', 'groups', 'events', 'beats', 'epoch', 'alive', 'holds'] as const)('the log names the spoilt key once while %s is spoilt, and says when it is mended', async (name) => {
  const { store, raw, keys } = await openRegistry();
  const lines: string[] = [];
  const log = pino({ level: 'info' }, { write: (line: string) => lines.push(line) });
  const maintenance = new RedisMaintenance(store, { minSeconds: 1, maxSeconds: 3600 }, log);
  await raw.multi().del(keys[name]).lpush(keys[name], 'x').exec();
  for (let n = 0; n < 2; n++) await maintenance.sweep().catch(() => undefined);
  await raw.del(keys[name]);
  await maintenance.sweep();
  expect(lines.map((line) => JSON.parse(line) as unknown)).toMatchObject([{ key: keys[name], type: 'list' }, { key: keys[name] }]);
});

test.each(SPOILT)('when $title, the others are renewed', async ({ spoil }) => {
  const { registry } = await spoiltGroup(spoil);
  const results = await registry.heartbeat(['a', 'bad', 'z'].map((instanceId) => ({ instanceId, status: 'error' as const })));
  expect([results[0]?.status, results[2]?.status]).toEqual([200, 200]);
});

test('while the log is spoilt nobody leaves untold: what was to be removed or evicted is once it is mended', async () => {
  const opened = await openRegistry();
  const { registry, store, raw, keys } = opened;
  for (const instanceId of ['a', 'silent']) await registry.register(complete({ instanceId }), CALLER);
  await registry.discover({ limit: 10 });
  const { told } = await watchFrames(registry);
  await raw.set(keys.events, '1');
  await expect(registry.remove('a', {}, CALLER)).rejects.toMatchObject({ code: 'store_unavailable' });
  await raw.zadd(keys.leases, 1, 'game:kr-1:silent');
  await raw.hset(keys.holds, '', Date.now());
  await expect(store.scripts.run(store.connection, 'sweep', ['', '', 'game:kr-1:silent'])).rejects.toThrow(keys.events);
  expect(await raw.zcard(keys.leases)).toBe(2);
  await raw.del(keys.events);
  await registry.remove('a', {}, CALLER);
  await until(() => told().some(({ event }) => event === 'removed'));
});
