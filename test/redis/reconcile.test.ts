import { pino } from 'pino';
import { expect, test } from 'vitest';
import { RedisMaintenance } from '../../src/redis/upkeep/maintenance.js';
import { openRegistry } from '../helpers/gateway.js';
import { CALLER, complete, expectAgreement, expectChain, readStore, redisNow } from '../helpers/store.js';

type Opened = Awaited<ReturnType<typeof openRegistry>>;
const HOME = 'game:kr-1';
const soon = () => AbortSignal.timeout(10_000);

/** What a client without our code writes: a Hash, an EXPIRE and a SADD. */
const writeByHand = ({ raw, keys }: Opened, id: string, fields: Record<string, string>, { home = HOME, seconds = 30 } = {}) =>
  raw.multi().hset(keys.face(id), fields).expire(keys.face(id), seconds).sadd(keys.members(home), id).exec();

test('a member written by hand with neither Hash nor lease goes, and its group with it', async () => {
  const opened = await openRegistry();
  const { maintenance, raw, keys } = opened;
  await raw.sadd(keys.members(HOME), 'ghost');
  await raw.sadd(keys.groups, HOME);
  expect(await maintenance.reconcile(soon())).toEqual({ removed: 1, adopted: [] });
  expect(await raw.exists(keys.members(HOME), keys.groups)).toBe(0);
  expect(await raw.xlen(keys.events)).toBe(0);
});

test('a group of the index that has no members leaves it, and the others stay', async () => {
  const { maintenance, registry, raw, keys } = await openRegistry();
  await registry.register(complete(), CALLER);
  await raw.sadd(keys.groups, 'game:long-gone');
  await maintenance.reconcile(soon());
  expect(await raw.smembers(keys.groups)).toEqual([HOME]);
});

test('ghosts go and the living stay, in a group larger than one batch', async () => {
  const { maintenance, registry, raw, keys } = await openRegistry();
  const ids = Array.from({ length: 700 }, (_, i) => `id-${i}`);
  await Promise.all(ids.map((instanceId) => registry.register(complete({ instanceId }), CALLER)));
  await raw.sadd(keys.members(HOME), ids.map((id) => `ghost-${id}`));
  expect(await maintenance.reconcile(soon())).toEqual({ removed: 700, adopted: [] });
  expect(await maintenance.reconcile(soon())).toEqual({ removed: 0, adopted: [] });
  expectAgreement(await readStore(raw, keys));
});

test.each([
  { title: 'a known group', home: HOME, known: true },
  { title: 'a group that no index knows', home: 'chat:by-hand', known: false },
])('an instance written by hand in $title is adopted with one registered event and the lease it asked for', async ({ home, known }) => {
  const opened = await openRegistry();
  const { maintenance, registry, raw, keys } = opened;
  if (known) await registry.register(complete({ instanceId: 'neighbour' }), CALLER);
  const before = await raw.xlen(keys.events);
  await writeByHand(opened, 'hand', { hostname: 'hand.example.com', status: 'initializing', labels: '{"zone":"a"}', ports: '[{"port":80,"protocol":"tcp"}]' }, { home, seconds: 17 });

  expect(await maintenance.reconcile(soon())).toEqual({ removed: 0, adopted: [`${home}:hand`] });
  expect(await maintenance.reconcile(soon())).toEqual({ removed: 0, adopted: [] });
  const [type, group] = home.split(':') as [string, string];
  const { instances } = (await registry.discover({ type, group, limit: 10 })).answer.read();
  expect(instances.find(({ instanceId }) => instanceId === 'hand')).toMatchObject({
    type, group, hostname: 'hand.example.com', status: 'initializing', labels: { zone: 'a' }, ports: [{ port: 80, protocol: 'tcp' }], ttlSeconds: 17,
  });
  const state = await readStore(raw, keys);
  expectAgreement(state);
  expectChain(state.events);
  expect(state.events.slice(before)).toMatchObject([{ kind: 'registered', cause: 'adopt', instanceId: 'hand', type, group }]);
  expect(state.leases.get(`${home}:hand`)).toBeLessThanOrEqual((await redisNow(raw)) + 17_000);

  expect(await registry.heartbeat([{ instanceId: 'hand' }])).toMatchObject([{ status: 200, ttlMs: 17_000 }]);
});

const ODD: { title: string; fields: Record<string, string>; adopted: Record<string, unknown> }[] = [
  { title: 'no known field at all', fields: { foo: 'bar' }, adopted: { hostname: 'hand', status: 'ready', ports: [], labels: {} } },
  { title: 'an address and no host name', fields: { publicIp: '203.0.113.7' }, adopted: { hostname: '203.0.113.7', publicIp: '203.0.113.7' } },
  { title: 'nested fields that are not JSON', fields: { hostname: 'h', ports: '[oops', labels: 'x', systemInfo: '{' }, adopted: { hostname: 'h', ports: [], labels: {} } },
  { title: 'nested fields of another shape', fields: { hostname: 'h', ports: '{"port":1}', labels: '{"zone":1}', performance: '[]' }, adopted: { ports: [], labels: {} } },
  { title: 'an unknown status', fields: { hostname: 'h', status: 'UP' }, adopted: { status: 'ready' } },
  { title: 'a type and group that contradict its Set', fields: { hostname: 'h', type: 'other', group: 'us-1', instanceId: 'x' }, adopted: { type: 'game', group: 'kr-1', instanceId: 'hand' } },
  { title: 'an incarnation that is no name', fields: { hostname: 'h', incarnation: 'a:b {c}' }, adopted: { incarnation: expect.stringMatching(/^[0-9A-Z]{26}$/) } },
  { title: 'an incarnation of its own', fields: { hostname: 'h', incarnation: 'mine' }, adopted: { incarnation: 'mine' } },
  { title: 'an address that is none', fields: { hostname: 'h', privateIp: '10.0.0', publicIp: '0.0.0.0' }, adopted: { hostname: 'h' } },
];

test.each(ODD)('a Hash written by hand with $title is adopted, without what is unusable', async ({ fields, adopted }) => {
  const opened = await openRegistry();
  await writeByHand(opened, 'hand', fields);
  expect((await opened.maintenance.reconcile(soon())).adopted).toEqual([`${HOME}:hand`]);
  const { found } = await opened.registry.find('hand');
  expect(found?.instance).toMatchObject(adopted);
  if (!('publicIp' in adopted)) expect(found?.instance).not.toHaveProperty('publicIp');
  expect(found?.instance).not.toHaveProperty('privateIp');
  expectAgreement(await readStore(opened.raw, opened.keys));
});

test.each([{ seconds: 1, ttlSeconds: 5 }, { seconds: 86_400, ttlSeconds: 60 }])('a lease of $seconds s asked for by hand is bounded', async ({ seconds, ttlSeconds }) => {
  const opened = await openRegistry();
  await writeByHand(opened, 'hand', { hostname: 'h' }, { seconds });
  const bounded = new RedisMaintenance(opened.store, { minSeconds: 5, maxSeconds: 60 }, pino({ level: 'silent' }));
  await bounded.reconcile(soon());
  expect((await opened.registry.find('hand')).found?.instance.ttlSeconds).toBe(ttlSeconds);
});

test.each([
  { title: 'an id', id: 'a b', home: HOME },
  { title: 'an id with a colon', id: 'a:b', home: HOME },
  { title: 'a type', id: 'hand', home: 'Bad{type}:kr-1' },
  { title: 'a group', id: 'hand', home: 'game:kr:1' },
])('what was written by hand under $title that is no valid name is left alone, with a warning', async ({ id, home }) => {
  const opened = await openRegistry();
  const lines: string[] = [];
  const log = pino({ level: 'warn' }, { write: (line: string) => lines.push(line) });
  await writeByHand(opened, id, { hostname: 'h' }, { home });
  const maintenance = new RedisMaintenance(opened.store, { minSeconds: 1, maxSeconds: 3600 }, log);
  expect(await maintenance.reconcile(soon())).toEqual({ removed: 0, adopted: [] });
  expect(lines.map((line) => JSON.parse(line) as unknown)).toMatchObject([{ instanceId: id, msg: expect.stringContaining('not a valid name') }]);
  expect(await opened.raw.sismember(opened.keys.members(home), id)).toBe(1);
  expect(await opened.raw.hgetall(opened.keys.face(id))).toEqual({ hostname: 'h' });
  expect(await opened.raw.exists(opened.keys.events, opened.keys.leases)).toBe(0);
});

test('a Hash without a TTL is left alone: nobody said how long it lives', async () => {
  const opened = await openRegistry();
  const { maintenance, raw, keys } = opened;
  await writeByHand(opened, 'hand', { hostname: 'h' });
  await raw.persist(keys.face('hand'));
  expect(await maintenance.reconcile(soon())).toEqual({ removed: 0, adopted: [] });
  expect(await raw.smembers(keys.members(HOME))).toEqual(['hand']);
  expect(await raw.xlen(keys.events)).toBe(0);
});

test('a stray member does not move an instance that is registered elsewhere, lapsed or not', async () => {
  const { maintenance, registry, raw, keys } = await openRegistry();
  await registry.register(complete({ group: 'us-1' }), CALLER);
  for (const expireFace of [false, true]) {
    if (expireFace) await raw.del(keys.face('a'));
    await raw.sadd(keys.members(HOME), 'a');
    expect(await maintenance.reconcile(soon())).toEqual({ removed: 1, adopted: [] });
    expectAgreement(await readStore(raw, keys));
  }
  expect((await registry.find('a')).found?.instance.group).toBe('us-1');
  expect(await raw.xlen(keys.events)).toBe(1);
});

test('two replicas that reconcile at once adopt an instance once', async () => {
  const opened = await openRegistry();
  for (let i = 0; i < 20; i++) await writeByHand(opened, `hand-${i}`, { hostname: 'h' });
  const results = await Promise.all([opened.maintenance.reconcile(soon()), opened.maintenance.reconcile(soon())]);
  expect(results.flatMap(({ adopted }) => adopted).sort()).toEqual(Array.from({ length: 20 }, (_, i) => `${HOME}:hand-${i}`).sort());
  expect(await opened.raw.xlen(opened.keys.events)).toBe(20);
});

test('of two replicas one takes the turn to reconcile, and the next is free when it is over', async () => {
  const { maintenance, raw, keys } = await openRegistry();
  expect(await Promise.all([maintenance.claimReconcile(60_000), maintenance.claimReconcile(60_000)])).toEqual([true, false]);
  await raw.del(keys.reconcile);
  expect(await maintenance.claimReconcile(60_000)).toBe(true);
});

test('a lease that was lost comes back for a record of the same group, and a Set that was lost is written anew', async () => {
  const { registry, maintenance, raw, keys } = await openRegistry();
  for (const instanceId of ['a', 'b']) await registry.register(complete({ instanceId }), CALLER);
  await raw.zrem(keys.leases, 'game:kr-1:a');
  await maintenance.reconcile(new AbortController().signal);
  expect(Number(await raw.zscore(keys.leases, 'game:kr-1:a'))).toBeGreaterThan(Date.now());
  await raw.del(keys.members('game:kr-1'), keys.groups);
  await maintenance.reconcile(new AbortController().signal);
  expect((await registry.discover({ limit: 10 })).answer.read().instances.map(({ instanceId }) => instanceId)).toEqual(['a', 'b']);
});

test('a Set of thousands that was lost is whole again after one reconcile', async () => {
  const { registry, maintenance, raw, keys } = await openRegistry();
  await Promise.all(Array.from({ length: 3000 }, (_, i) => registry.register(complete({ instanceId: `id-${i}`, ttlSeconds: 300 }), CALLER)));
  await raw.del(keys.members('game:kr-1'), keys.groups);
  await maintenance.reconcile(new AbortController().signal);
  expect(await raw.scard(keys.members('game:kr-1'))).toBe(3000);
  expect(await raw.smembers(keys.groups)).toEqual(['game:kr-1']);
});

test('a run that is stopped goes on where it came to, on any replica, and what the index names is looked at first in each', async () => {
  const opened = await openRegistry();
  const { maintenance, store, raw, keys } = opened;
  const other = new RedisMaintenance(store, { minSeconds: 1, maxSeconds: 3600 }, pino({ level: 'silent' }));
  const strange = Array.from({ length: 5000 }, (_, i) => [`${keys.prefix}strange-${i}`, 'x']).flat();
  await raw.mset(strange);
  await opened.registry.register(complete({ instanceId: 'neighbour' }), CALLER);
  for (let i = 0; i < 20; i++) await writeByHand(opened, `far-${i}`, { hostname: 'h' }, { home: `chat:g-${i}` });
  const scan = store.connection.scan.bind(store.connection) as (...args: unknown[]) => Promise<[string, string[]]>;
  let pages = 0;
  store.connection.scan = (async (...args: unknown[]) => {
    const page = await scan(...args);
    if (++pages % 2 === 0) controller.abort();
    return page;
  });
  let controller = new AbortController();
  const adopted: string[] = [];
  for (let run = 0; run < 40 && adopted.length < 21; run++) {
    if (run === 1) await writeByHand(opened, 'near', { hostname: 'h' });
    controller = new AbortController();
    const found = (await (run % 2 === 0 ? maintenance : other).reconcile(controller.signal)).adopted;
    if (run === 1) expect(found).toContain(`${HOME}:near`);
    adopted.push(...found);
  }
  expect(new Set(adopted).size).toBe(21);
});
