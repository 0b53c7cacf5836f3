import { beforeAll, describe, expect, it } from 'vitest';
import { createClient } from '../../src/client/index.js';
import type { Client } from '../../src/client/verbs/client.js';
import { badInput, expand, type BadInput as Row } from '../helpers/bad-input.js';
import { openRegistry, registration } from '../helpers/gateway.js';
import { keyspace } from '../helpers/keyspace.js';
import { startRedis } from '../helpers/redis.js';

const rows = badInput.filter(({ code, raw, headers }) => code === 'invalid_request' && raw === undefined && headers === undefined);
const given = (row: Row) => JSON.parse(expand(JSON.stringify(row.with ? registration(row.with) : row.body))) as never;
const isObject = (row: Row) => row.with !== undefined || (typeof row.body === 'object' && row.body !== null && !Array.isArray(row.body));

const CALLS: [string, string, (client: Client, body: never) => Promise<unknown>][] = [
  ['POST', '/sd/v1/instances', (client, body) => client.register(body)],
  ['POST', '/sd/v1/instances/live-1/heartbeat', (client, body) => client.heartbeat('live-1', body)],
  ['PATCH', '/sd/v1/instances/live-1', (client, body) => client.patch('live-1', body)],
];

let client: Client;
let look: () => Promise<unknown>;

/** One instance with as many labels as there may be. */
beforeAll(async () => {
  const closers: (() => Promise<unknown>)[] = [];
  const redis = await startRedis(); // of its own: all of its keys are looked at
  closers.push(redis.stop);
  const { prefix, raw, keys } = await openRegistry({ redisUrl: redis.url, cleanup: (close) => closers.push(close) });
  client = createClient({ mode: 'redis', redisUrl: redis.url, keyPrefix: prefix });
  closers.push(() => client.close());
  const labels = Object.fromEntries(Array.from({ length: 32 }, (_, i) => [`k${i}`, 'v']));
  await client.register(registration({ instanceId: 'live-1', incarnation: 'first-1', labels, ttlSeconds: 3600 }));
  look = () => keyspace(raw, [keys.alive, keys.epoch, keys.grace, keys.swept, keys.beats]);
  return async () => {
    for (const close of closers.reverse()) await close();
  };
});

describe.each(CALLS)('straight to Redis is refused what a gateway refuses, by the same field, and writes nothing: %s %s', (method, path, call) => {
  const refused = rows.filter((row) => row.method === method && row.path === path && row.status === 400 && isObject(row));

  it('(there are such rows)', () => expect(refused.length).toBeGreaterThan(3));

  it.each(refused.map((row) => [row.name, row] as const))('%s', async (_name, row) => {
    const before = await look();
    const error = await call(client, given(row)).catch((caught: unknown) => caught);
    const pointer = row.pointer === undefined ? undefined : expand(row.pointer);
    expect(error).toMatchObject({ code: 'invalid_request', ...(pointer !== undefined && { details: { errors: expect.arrayContaining([expect.objectContaining({ pointer })]) as unknown } }) });
    expect(await look()).toEqual(before);
  });
});
