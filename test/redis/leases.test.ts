import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { openRegistry } from '../helpers/gateway.js';
import { CALLER, complete, expectAgreement, expectChain, lapse, readStore, redisNow } from '../helpers/store.js';
import { until } from '../helpers/until.js';

const MEMBER = 'game:kr-1:a';
const ids = (count: number, stem: string) => Array.from({ length: count }, (_, i) => `${stem}-${i}`);

test('a lease ends one ttl after the moment of Redis at which it was registered or renewed', async () => {
  const { registry, raw, keys } = await openRegistry();
  for (const renew of [() => registry.register(complete({ ttlSeconds: 30 }), CALLER), () => registry.heartbeat([{ instanceId: 'a' }])]) {
    const before = await redisNow(raw);
    await renew();
    const after = await redisNow(raw);
    const score = Number(await raw.zscore(keys.leases, MEMBER));
    expect(score).toBeGreaterThanOrEqual(before + 30_000);
    expect(score).toBeLessThanOrEqual(after + 30_000);
    expect(await raw.hget(keys.face('a'), 'expiresAt')).toBe(new Date(score).toISOString());
    expect(await raw.pexpiretime(keys.face('a'))).toBeLessThanOrEqual(after + 30_000);
    expect(await raw.pexpiretime(keys.face('a'))).toBeGreaterThanOrEqual(before + 30_000);
    expect(await raw.pexpiretime(keys.record('a'))).toBeGreaterThanOrEqual(before + 90_000);
  }
});

test('a heartbeat renews a lapsed lease that was not yet told, and the face comes back as it was', async () => {
  const { registry, raw, keys } = await openRegistry();
  await registry.register(complete({ labels: { zone: 'a' }, ttlSeconds: 1, ports: [{ port: 1, protocol: 'tcp' }] }), CALLER);
  const face = await raw.hgetall(keys.face('a'));
  await until(async () => (await registry.find('a')).found === undefined);
  await until(async () => (await raw.exists(keys.face('a'))) === 0);

  expect(await registry.heartbeat([{ instanceId: 'a' }])).toMatchObject([{ status: 200 }]);
  const { lastHeartbeat: _, expiresAt: __, ...rest } = face;
  expect(await raw.hgetall(keys.face('a'))).toMatchObject(rest);
  expect((await registry.find('a')).found?.instance.labels).toEqual({ zone: 'a' });
  const state = await readStore(raw, keys);
  expectAgreement(state);
  expect(state.events).toHaveLength(1);
});

test('after its expired event an instance is unknown: heartbeat, patch and removal do not bring it back', async () => {
  const { registry, maintenance, raw, keys } = await openRegistry();
  await registry.register(complete(), CALLER);
  await lapse(raw, keys, ['a']);
  expect((await maintenance.sweep()).evicted).toEqual([MEMBER]);
  const unknown = { code: 'instance_not_found' };
  expect(await registry.heartbeat([{ instanceId: 'a', incarnation: 'life-1', status: 'ready' }])).toMatchObject([{ status: 404, ...unknown }]);
  await expect(registry.patch('a', { status: 'ready' }, CALLER)).rejects.toMatchObject(unknown);
  await expect(registry.remove('a', {}, CALLER)).rejects.toMatchObject(unknown);
  const state = await readStore(raw, keys);
  expectAgreement(state);
  expect(state.records.size).toBe(0);
  expect(state.events.map(({ kind }) => kind)).toEqual(['registered', 'expired']);
  expect(state.events[1]).toMatchObject({ instanceId: 'a', hostname: 'game-1.example.com', incarnation: 'life-1' });
});

test('a patch does not renew a lease, and reaches nobody whose lease has lapsed', async () => {
  const { registry, raw, keys } = await openRegistry();
  await registry.register(complete(), CALLER);
  const lease = () => Promise.all([raw.zscore(keys.leases, MEMBER), raw.pexpiretime(keys.face('a')), raw.pexpiretime(keys.record('a'))]);
  const before = await lease();
  await registry.patch('a', { status: 'error', labels: { zone: 'b' }, cordoned: true }, CALLER);
  expect(await lease()).toEqual(before);
  await lapse(raw, keys, ['a']);
  await expect(registry.patch('a', { status: 'ready' }, CALLER)).rejects.toMatchObject({ code: 'instance_not_found' });
  expect(await raw.exists(keys.face('a'))).toBe(0);
});

test('after an outage every lease gets one ttl, in discover and in the sweep at once, and the sweep writes it down', async () => {
  const { registry, startAnother, maintenance, raw, keys } = await openRegistry();
  const names = ids(4, 'id'); // one more, and the group would be held
  await Promise.all(names.map((instanceId) => registry.register(complete({ instanceId }), CALLER)));
  await lapse(raw, keys, names, 'game:kr-1', 60_000);
  const other = await startAnother(); // a view learns of scores written by hand when it is loaded
  const listed = async () => (await other.discover({ limit: 100 })).answer.read().instances.length;
  expect(await listed()).toBe(0);

  const back = await redisNow(raw);
  await raw.set(keys.alive, back - 3500);
  expect(await listed(), 'before anybody noticed the outage').toBe(4);
  expect(await maintenance.sweep()).toEqual({ evicted: [], rescored: 4, held: 0, more: false });
  expect(await listed()).toBe(4);
  for (const score of (await readStore(raw, keys)).leases.values()) {
    expect(score).toBeGreaterThanOrEqual(back + 30_000);
    expect(score).toBeLessThan(back + 35_000);
  }
  expect(await maintenance.sweep()).toEqual({ evicted: [], rescored: 0, held: 0, more: false });
});

test('a gap of less than three seconds is no outage', async () => {
  const { registry, reader, startAnother, maintenance, raw, keys } = await openRegistry();
  await reader.stop(); // or its pulse would end the gap
  const lapseInGap = async () => {
    await registry.register(complete(), CALLER);
    await lapse(raw, keys, ['a']);
    await raw.set(keys.alive, (await redisNow(raw)) - 2000);
  };
  await lapseInGap();
  expect((await maintenance.sweep()).evicted).toEqual([MEMBER]);
  expect(await raw.exists(keys.grace)).toBe(0);

  await lapseInGap();
  const other = await startAnother();
  expect((await other.discover({ limit: 10 })).answer.read().instances).toEqual([]);
  expect(await raw.exists(keys.grace)).toBe(0);
});

test('after a gap of more than a second short leases get one ttl, and longer ones do not', async () => {
  const opened = await openRegistry();
  const { registry, maintenance, raw, keys, reader, store } = opened;
  for (const ttlSeconds of [3, 9, 10]) await registry.register(complete({ instanceId: `ttl-${ttlSeconds}`, ttlSeconds }), CALLER);
  await reader.stop();
  await lapse(raw, keys, ['ttl-3', 'ttl-9', 'ttl-10']);
  await raw.set(keys.alive, (await redisNow(raw)) - 1500);
  await store.scripts.run(store.connection, 'pulse', ['']);
  const other = await opened.startAnother();
  const listed = (await other.discover({ limit: 10 })).answer.read().instances.map(({ instanceId }) => instanceId);
  expect(listed.sort()).toEqual(['ttl-3', 'ttl-9']);
  expect(await maintenance.sweep()).toMatchObject({ evicted: ['game:kr-1:ttl-10'], rescored: 2 });
});

test('who registers right after the clock of Redis was set back is in a strong answer', async () => {
  const { registry, view, raw } = await openRegistry();
  for (let round = 0; round < 20; round++) {
    view.table.advance((await redisNow(raw)) + 300_000, 0); // as the clock had it that was ahead
    await registry.register(complete({ instanceId: `i-${round}` }), CALLER);
    const { answer } = await registry.discover({ limit: 100 }, { strong: true });
    expect(answer.read().instances.map(({ instanceId }) => instanceId)).toContain(`i-${round}`);
  }
});

test('Redis whose clock is set back: who died before it is not kept for as long, and beats go on, are believed and are trimmed', async () => {
  const { registry, maintenance, view, raw, keys, reader, store } = await openRegistry({ fromMemory: true });
  for (const instanceId of ['live', 'dead']) await registry.register(complete({ instanceId, ttlSeconds: 30 }), CALLER);
  await until(() => view.size === 2);
  const AHEAD = 300_000;
  // As if all this had been written by a clock that was ahead.
  const now = await redisNow(raw);
  const last = `${now + AHEAD}-1`;
  await raw.multi().zadd(keys.leases, now + AHEAD + 30_000, 'game:kr-1:live', now + AHEAD + 30_000, 'game:kr-1:dead').xadd(keys.beats, last, 'ids', 'nobody').set(keys.alive, now + AHEAD).set(keys.swept, now + AHEAD).exec();
  await raw.hset(keys.holds, { '': now + AHEAD, 'game:held': `${now + AHEAD - 1000} ${now + AHEAD + 5000} ${now + AHEAD + 11_000} 5 8 held` });
  for (const member of view.table.members.values()) {
    Object.assign(member, { scoreMs: now + AHEAD + 30_000, expiresAtMs: now + AHEAD + 30_000, renewedAtMs: now + AHEAD });
    Object.assign(member.record, { registeredAtMs: now + AHEAD - 1000 });
  }
  view.table.advance(now + AHEAD, 0);
  await until(async () => (await raw.hexists(keys.holds, ':setback')) === 0 && Number(await raw.zscore(keys.leases, 'game:kr-1:dead')) < now + AHEAD);

  expect(await registry.heartbeat([{ instanceId: 'live', performance: { cpu: 0.5 } }])).toMatchObject([{ status: 200 }]);
  const soon = (await redisNow(raw)) + 30_000;
  for (const id of ['live', 'dead']) expect(Number(await raw.zscore(keys.leases, `game:kr-1:${id}`))).toBeLessThanOrEqual(soon);
  await until(() => view.find('live')?.instance.performance?.cpu === 0.5);
  for (const { expiresAtMs, renewedAtMs, record } of view.table.members.values()) {
    expect(expiresAtMs).toBeLessThanOrEqual(soon);
    if (record.instanceId === 'live') expect(renewedAtMs).toBeLessThanOrEqual(soon - 30_000);
  }
  const [newest] = await raw.xrevrange(keys.beats, '+', '-', 'COUNT', 1);
  expect(newest?.[1].slice(0, 1)).toEqual(['at']);
  await raw.xadd(keys.beats, `${now + AHEAD + 60_000}-1`, 'at', (await redisNow(raw)) - 20_000, 'ids', 'nobody'); // the last, of 20 s ago
  await registry.heartbeat([{ instanceId: 'live' }]);
  const [after] = await raw.xrevrange(keys.beats, '+', '-', 'COUNT', 1);
  expect(Number(after?.[0].split('-')[0])).toBeGreaterThanOrEqual(now + AHEAD + 80_000);

  expect(Number(await raw.get(keys.swept))).toBeLessThanOrEqual(await redisNow(raw));
  await maintenance.sweep();
  expect((await raw.hget(keys.holds, 'game:held'))?.split(' ').map(Number)[0]).toBeLessThanOrEqual(await redisNow(raw));
  await reader.stop();
  expect(Number(((await store.scripts.run(store.connection, 'pulse', [''])) as string[])[6])).toBeLessThanOrEqual(await redisNow(raw));
});

test('grace lengthens no lease that ends later by itself', async () => {
  const { registry, maintenance, raw, keys } = await openRegistry();
  await registry.register(complete({ ttlSeconds: 30 }), CALLER);
  const score = await raw.zscore(keys.leases, MEMBER);
  await raw.set(keys.grace, (await redisNow(raw)) - 60_000);
  await maintenance.sweep();
  expect(await raw.zscore(keys.leases, MEMBER)).toBe(score);
  await lapse(raw, keys, ['a']);
  expect((await maintenance.sweep()).evicted).toEqual([MEMBER]);
});

test('500 ghosts among 500 live: no discover shows one after its end, and the sweep takes them in batches of at most 100', async () => {
  const { registry, maintenance, raw, keys } = await openRegistry();
  const ghosts = ids(500, 'ghost').map((instanceId) => registry.register(complete({ instanceId, ttlSeconds: 1 }), CALLER));
  await Promise.all([...ghosts, ...ids(500, 'live').map((instanceId) => registry.register(complete({ instanceId }), CALLER))]);
  let seen = Infinity;
  await until(async () => {
    const asked = await redisNow(raw);
    const { instances } = (await registry.discover({ type: 'game', group: 'kr-1', limit: 10_000 })).answer.read();
    expect(instances.filter(({ expiresAt }) => Date.parse(expiresAt) <= asked)).toEqual([]);
    expect(instances.filter(({ instanceId }) => instanceId.startsWith('live'))).toHaveLength(500);
    seen = instances.length;
    return seen === 500;
  });

  const batches: number[] = [];
  for (let more = true; more; ) {
    const result = await maintenance.sweep();
    batches.push(result.evicted.length);
    more = result.more;
  }
  expect(batches).toEqual([100, 100, 100, 100, 100]);
  const state = await readStore(raw, keys);
  expectAgreement(state);
  expectChain(state.events);
  expect([state.records.size, state.faces.size]).toEqual([500, 500]);
  const expired = state.events.filter(({ kind }) => kind === 'expired').map(({ instanceId }) => instanceId);
  expect([expired.length, new Set(expired).size]).toEqual([500, 500]);
});

test('leases renewed at random phases are never evicted and never missing', { timeout: 40_000 }, async () => {
  const { registry, maintenance, raw, keys } = await openRegistry();
  const names = ids(200, 'id');
  await Promise.all(names.map((instanceId) => registry.register(complete({ instanceId, ttlSeconds: 2 }), CALLER)));
  const endsAt = performance.now() + 8000;
  const renewing = names.map(async (instanceId) => {
    while (performance.now() < endsAt) {
      await sleep(Math.random() * 900);
      expect(await registry.heartbeat([{ instanceId }])).toMatchObject([{ status: 200 }]);
    }
  });
  const sweeping = (async () => {
    for (let sweeps = 0; performance.now() < endsAt; sweeps++) {
      expect((await maintenance.sweep()).evicted).toEqual([]);
      expect((await registry.discover({ limit: 1000 })).answer.read().instances).toHaveLength(200);
      await sleep(50);
    }
  })();
  await Promise.all([...renewing, sweeping]);
  const state = await readStore(raw, keys);
  expectAgreement(state);
  expect(state.events).toHaveLength(200);
});

test.each([{ grace: false }, { grace: true }])('a candidate that was renewed, removed or moved since it was read is left alone (in grace: $grace)', async ({ grace }) => {
  const { registry, store, raw, keys } = await openRegistry();
  for (const instanceId of ['renewed', 'removed', 'moved']) await registry.register(complete({ instanceId }), CALLER);
  await registry.remove('removed', {}, CALLER);
  await registry.register(complete({ instanceId: 'moved', group: 'us-1' }), CALLER);
  if (grace) await raw.set(keys.grace, await redisNow(raw));
  const before = await readStore(raw, keys);
  const candidates = ['renewed', 'removed', 'moved'].map((id) => `game:kr-1:${id}`);
  expect(await store.scripts.run(store.connection, 'sweep', ['', '', ...candidates])).toEqual([3, 0, 0]);
  expect(await readStore(raw, keys)).toEqual(before);
});
