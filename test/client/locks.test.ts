import type { AddressInfo } from 'node:net';
import type { Redis } from 'ioredis';
import { describe, expect, inject, onTestFinished, test } from 'vitest';
import { createClient, type Client, type Lock } from '../../src/client/index.js';
import { createConnection } from '../../src/redis/connect/connection.js';
import { parseRedisUrl } from '../../src/redis/connect/url.js';
import { RedisLocks } from '../../src/redis/locks/redis-locks.js';
import { buildGateway, caller, silent, TOKEN } from '../helpers/gateway.js';
import { secretOf, tokensOf } from '../helpers/tokens.js';
import { until } from '../helpers/until.js';
import { clientOf } from './helpers.js';

type Gateway = Awaited<ReturnType<typeof buildGateway>>;
const addressOf = ({ app }: Gateway) => `http://127.0.0.1:${(app.server.address() as AddressInfo).port}`;
const modes: [string, (gateway: Gateway) => Client][] = [
  ['over HTTP', (gateway) => clientOf({ baseURL: addressOf(gateway) })],
  ['straight to Redis', ({ prefix }) => clientOf({ mode: 'redis', redisUrl: inject('redisUrl'), keyPrefix: prefix })],
];
const codeOf = (call: Promise<unknown>) => call.then(() => 'done', ({ code }: { code: string }) => code);
const pause = (ms: number) => new Promise((passed) => setTimeout(passed, ms));

describe.each(modes)('%s', (_, clientFor) => {
  const open = async () => {
    const gateway = await buildGateway();
    return { ...gateway, client: clientFor(gateway), another: clientFor(gateway) };
  };

  /** Reads, thinks, writes: what is written in between is lost. */
  const change = (raw: Redis, by: number) => async () => {
    const before = Number((await raw.get('a-number')) ?? 0);
    await pause(Math.random() * 3);
    await raw.set('a-number', before + by);
  };

  test('50 who add and 50 who subtract end where they began with a lock, and elsewhere without', { timeout: 30_000 }, async () => {
    const { raw, client, another } = await open();
    onTestFinished(() => void raw.del('a-number').catch(() => 0));
    const all = (run: (by: number, who: Client) => Promise<unknown>) => Promise.all(Array.from({ length: 50 }, () => [run(1, client), run(-1, another)]).flat());
    await raw.set('a-number', 0);
    await all((by, who) => who.lock('a-number', { ttlSeconds: 10, waitMs: 20_000 }, change(raw, by)));
    expect(await raw.get('a-number')).toBe('0');
    await raw.set('a-number', 0);
    await all(async (by) => {
      for (let i = 0; i < 5; i++) await change(raw, by)();
    });
    expect(await raw.get('a-number')).not.toBe('0');
  });

  test('whoever comes to a lock that is held is told by whom, and who waits is served in the order of arrival', async () => {
    const { client, another } = await open();
    const order: string[] = [];
    let release = () => undefined as void;
    const first = client.lock('shop', { ttlSeconds: 10, owner: 'game-1' }, () => new Promise<void>((resolve) => (release = resolve)));
    await until(async () => (await client.backend.locks.look('shop')).held);
    await expect(another.lock('shop', { ttlSeconds: 10 }, () => undefined)).rejects.toMatchObject({ code: 'lock_held', message: expect.stringMatching(/held by 'game-1' until \d{4}-/) as string });
    const waiting: Promise<void>[] = [];
    for (const name of ['a', 'b', 'c']) {
      waiting.push((name === 'b' ? client : another).lock('shop', { ttlSeconds: 10, waitMs: 10_000 }, () => void order.push(name)));
      await until(async () => (await client.backend.locks.look('shop')).waiting === waiting.length);
    }
    release();
    await Promise.all([first, ...waiting]);
    expect(order).toEqual(['a', 'b', 'c']);
    expect(await client.backend.locks.look('shop')).toEqual({ held: false, waiting: 0 });
  });

  test('a lock that was lost tells whoever holds it, and its call fails', { timeout: 20_000 }, async () => {
    const { client, another, raw, keys } = await open();
    let seen: unknown;
    const work = async ({ signal }: Lock) => {
      await raw.del(keys.lock('shop')[0]); // as a Redis that lost its data
      await new Promise((resolve) => signal.addEventListener('abort', resolve));
      seen = signal.reason;
    };
    expect(await codeOf(client.lock('shop', { ttlSeconds: 1 }, work))).toBe('lock_lost');
    expect(seen).toMatchObject({ code: 'lock_lost', message: expect.stringContaining('is not held by this lease') as string }); // and not only that its time was over
    expect(await codeOf(another.lock('shop', { ttlSeconds: 1 }, () => undefined))).toBe('done');
  });

  test('what is long renewed is held, and an error of the work is its own', async () => {
    const { client, another } = await open();
    const work = async () => {
      await pause(1500);
      throw new Error('of the work');
    };
    const long = client.lock('shop', { ttlSeconds: 1 }, work);
    await pause(1300);
    expect(await codeOf(another.lock('shop', { ttlSeconds: 1 }, () => undefined))).toBe('lock_held');
    await expect(long).rejects.toThrow('of the work');
    expect(await codeOf(another.lock('shop', { ttlSeconds: 1 }, () => undefined))).toBe('done');
  });

  test('tokens grow, also when Redis has lost everything', async () => {
    const { client, raw, keys, prefix } = await open();
    const tokens: number[] = [];
    for (let i = 0; i < 6; i++) {
      await client.lock(i % 2 === 0 ? 'shop' : 'other', { ttlSeconds: 10 }, ({ fencingToken }) => void tokens.push(fencingToken));
      if (i === 2) await raw.set(keys.lock('shop')[3], tokens[0] as number); // an older state
      if (i === 3) await raw.del(await raw.keys(`${prefix}lock*`));
    }
    expect(tokens).toEqual([...new Set(tokens)].sort((a, b) => a - b));
    expect(Number.isSafeInteger(tokens[5])).toBe(true);
  });
});

test('a holder that stopped is passed by when its time is over, and its late write is refused by its token', { timeout: 20_000 }, async () => {
  const gateway = await buildGateway();
  const [stopped, another] = [clientOf({ baseURL: addressOf(gateway) }).backend.locks, clientOf({ baseURL: addressOf(gateway) })];
  let written = { token: 0, by: '' };
  const write = (token: number, by: string) => {
    if (token < written.token) return 'refused';
    written = { token, by };
    return 'written';
  };
  const { fencingToken } = await stopped.acquire('shop', { owner: 'stopped', ttlMs: 1000, lease: 'lease-1', waitMs: 0 }); // and renews no more
  await another.lock('shop', { ttlSeconds: 10, waitMs: 5000 }, (lock) => void write(lock.fencingToken, 'another'));
  expect([write(fencingToken, 'stopped'), written.by]).toEqual(['refused', 'another']);
  expect(await codeOf(stopped.renew('shop', 'lease-1', 1000))).toBe('lock_lost');
  expect(await codeOf(stopped.release('shop', 'lease-1'))).toBe('lock_lost');
});

test('a lock that is free is not given to who comes later than those who wait; who stopped asking is passed over', async () => {
  const { call, store, keys } = await buildGateway();
  const asks = (lease: string, waits: string) => store.scripts.run(store.connection, 'lock', [lease, 'somebody', 10_000, waits, 'a-replica'], keys.lock('shop')) as Promise<[number]>;
  await asks('holder', '');
  expect((await asks('first', '1'))[0]).toBe(409);
  await call.delete('/locks/shop?lease=holder').expect(204);
  const { body } = await call.post('/locks/shop').send({ owner: 'late', ttlSeconds: 10 }).expect(409);
  expect((body as { detail: string }).detail).toContain('others wait');
  await until(async () => (await asks('patient', ''))[0] === 201, 5000); // 3 s after the first asked last
});

test('the same lease again is the same attempt: nothing is waited for, and the token is the same', async () => {
  const { call } = await buildGateway();
  const ask = () => call.post('/locks/shop').send({ owner: 'a', ttlSeconds: 10, lease: 'lease-1' }).expect(201);
  const [one, two] = [(await ask()).body as { fencingToken: number }, (await ask()).body as { fencingToken: number }];
  expect(two.fencingToken).toBe(one.fencingToken);
  await call.delete('/locks/shop?lease=lease-1').expect(204);
  await call.delete('/locks/shop?lease=lease-1').expect(404);
});

test('who goes away while it waits loses its place, at once', async () => {
  const gateway = await buildGateway();
  const client = clientOf({ baseURL: addressOf(gateway) });
  const { locks } = client.backend;
  await locks.acquire('shop', { owner: 'a', ttlMs: 60_000, lease: 'holder', waitMs: 0 });
  const gone = new AbortController();
  const waiting = client.lock('shop', { ttlSeconds: 10, waitMs: 20_000, signal: gone.signal }, () => undefined);
  await until(async () => (await locks.look('shop')).waiting === 1);
  gone.abort(new Error('no longer'));
  await expect(waiting).rejects.toThrow('no longer');
  await until(async () => (await locks.look('shop')).waiting === 0);
});

test('an attempt that goes on at another replica is not ended by the one that it left', async () => {
  const one = await buildGateway();
  const other = await buildGateway({ prefix: one.prefix });
  const [here, there] = [one, other].map((gateway) => clientOf({ baseURL: addressOf(gateway) }).backend.locks) as [Client['backend']['locks'], Client['backend']['locks']];
  await here.acquire('shop', { owner: 'a', ttlMs: 60_000, lease: 'holder', waitMs: 0 });
  const gone = new AbortController();
  const left = codeOf(here.acquire('shop', { owner: 'b', ttlMs: 60_000, lease: 'moving', waitMs: 20_000, signal: gone.signal }));
  await until(async () => (await here.look('shop')).waiting === 1);
  const moved = there.acquire('shop', { owner: 'b', ttlMs: 60_000, lease: 'moving', waitMs: 20_000 });
  await pause(200); // it waits at both
  gone.abort();
  await left;
  await here.release('shop', 'holder');
  const { fencingToken } = await moved;
  await one.store.scripts.run(one.store.connection, 'unlock', ['moving', 'shop', 'a-replica'], one.keys.lock('shop')); // as a replica does that finds out late
  expect(await there.look('shop')).toMatchObject({ held: true, owner: 'b', fencingToken });
});

test('a lock that is free is not taken for a caller that has gone', async () => {
  const { store } = await buildGateway();
  const locks = new RedisLocks(store, createConnection('news', { target: parseRedisUrl(inject('redisUrl')) }, silent));
  onTestFinished(() => locks.end());
  const gone = AbortSignal.abort();
  expect(await codeOf(locks.acquire('shop', { owner: 'a', ttlMs: 60_000, lease: 'lease-1', waitMs: 5000, signal: gone }))).not.toBe('done');
  expect((await locks.look('shop')).held).toBe(false);
});

test('who waits at one replica is woken by a release at another, and at one that shuts down is sent on', { timeout: 20_000 }, async () => {
  const one = await buildGateway();
  const other = await buildGateway({ prefix: one.prefix });
  const [here, there] = [clientOf({ baseURL: addressOf(one) }), clientOf({ baseURL: [addressOf(other), addressOf(one)] })];
  await here.backend.locks.acquire('shop', { owner: 'a', ttlMs: 60_000, lease: 'holder', waitMs: 0 });
  const order: string[] = [];
  const waiting = there.lock('shop', { ttlSeconds: 10, waitMs: 15_000 }, () => void order.push('got it'));
  await until(async () => (await here.backend.locks.look('shop')).waiting === 1);
  const closed = other.app.close(); // its sockets may stay for a while
  await here.backend.locks.release('shop', 'holder');
  await waiting;
  expect(order).toEqual(['got it']);
  other.app.server.closeAllConnections();
  await closed;
});

test('a token has the locks that its patterns name; one that is limited to groups has none unless it names them', async () => {
  const tokens = tokensOf(
    { name: 'all', verbs: ['read', 'write'] },
    { name: 'shops', verbs: ['write', 'read'], locks: ['shop-*'] },
    { name: 'kr', verbs: ['read', 'write'], groups: ['kr-*'] },
  );
  const { app } = await buildGateway({ tokens });
  const asks = (name: string, lock: string) => caller(app.server, secretOf(name)).post(`/locks/${lock}`).send({ owner: 'a', ttlSeconds: 1 }).then(({ status }) => status);
  expect([await asks('all', 'any'), await asks('shops', 'shop-1'), await asks('shops', 'bank'), await asks('kr', 'kr-1')]).toEqual([201, 201, 403, 403]);
  await caller(app.server, secretOf('shops')).get('/locks/bank').expect(403);
});

test.each([
  [{ ttlSeconds: 10 }, '/owner'],
  [{ owner: 'a', ttlSeconds: 0 }, '/ttlSeconds'],
  [{ owner: 'a', ttlSeconds: 3601 }, '/ttlSeconds'],
  [{ owner: 'a', ttlSeconds: 10, waitMs: 30_001 }, '/waitMs'],
  [{ owner: 'a', ttlSeconds: 10, lease: '*' }, '/lease'],
  [{ owner: 'a', ttlSeconds: 10, more: 1 }, '/more'],
])('%j is refused, and the field named', async (body, pointer) => {
  const { call } = await buildGateway();
  const { body: said } = await call.post('/locks/shop').send(body).expect(400);
  expect((said as { errors: { pointer: string }[] }).errors[0]?.pointer).toBe(pointer);
});

test('a client without the default token is refused as anywhere', async () => {
  const gateway = await buildGateway();
  expect(await codeOf(createClient({ baseURL: addressOf(gateway), apiToken: `${TOKEN}x` }).lock('shop', { ttlSeconds: 1 }, () => undefined))).toBe('unauthorized');
});
