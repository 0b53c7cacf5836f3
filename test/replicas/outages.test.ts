import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { expect, onTestFinished, test } from 'vitest';
import { makeKeys } from '../../src/redis/scripts/keys.js';
import { eventsIn } from '../helpers/events.js';
import { caller, registration, TOKEN } from '../helpers/gateway.js';
import { openGate } from '../helpers/redis-gate.js';
import { startRedis } from '../helpers/redis.js';
import { startReplica } from '../helpers/replicas.js';
import { until } from '../helpers/until.js';

const keys = makeKeys('service:');

async function oneReplica() {
  const redis = await startRedis();
  onTestFinished(redis.stop);
  const raw = new Redis(redis.url);
  raw.on('error', () => undefined);
  onTestFinished(() => raw.disconnect());
  const gate = await openGate(redis.port);
  onTestFinished(() => gate.close());
  const env = { API_TOKENS: TOKEN, LEASE_TTL_MIN_SECONDS: '1' };
  const replica = (port: number) => startReplica({ env: { ...env, REDIS_URL: `redis://127.0.0.1:${port}` } });
  return { redis, raw, gate, replica };
}

test('after an outage longer than a lease everybody is still there, with a whole record, and a heartbeat goes on', { timeout: 30_000 }, async () => {
  const { redis, raw, replica } = await oneReplica();
  const ttlSeconds = 4; // a new replica has this long to start, and to be asked
  const first = await replica(redis.port);
  const ids = ['a', 'b', 'c'];
  for (const instanceId of ids) await caller(first.url, TOKEN).post('/instances').send(registration({ instanceId, ttlSeconds })).expect(201);
  await first.kill();
  await sleep(ttlSeconds * 1000 + 500); // the outage itself: longer than a lease, and than Redis needs to call it one

  const second = await replica(redis.port);
  onTestFinished(second.kill);
  const call = caller(second.url, TOKEN);
  const { body } = await call.get('/instances').expect(200);
  expect((body.instances as { instanceId: string }[]).map(({ instanceId }) => instanceId)).toEqual(ids);
  for (const id of ids) await call.post(`/instances/${id}/heartbeat`).expect(200);
  await until(async () => (await eventsIn(raw, keys.events)).filter(({ kind }) => kind === 'expired').length === ids.length);
  const departed = (await eventsIn(raw, keys.events)).filter(({ kind }) => kind === 'expired');
  expect(departed.every(({ hostname }) => hostname === 'game-1.example.com')).toBe(true);
});

test('a write that was answered 503 is not sent again when Redis is back', { timeout: 30_000 }, async () => {
  const { redis, raw, gate, replica } = await oneReplica();
  const [cut, whole] = [await replica(gate.port), await replica(redis.port)];
  onTestFinished(cut.kill);
  onTestFinished(whole.kill);
  const there = caller(whole.url, TOKEN);
  await there.post('/instances').send(registration({ instanceId: 'kept', incarnation: 'one' })).expect(201);

  gate.halt();
  const here = caller(cut.url, TOKEN);
  await Promise.all([
    here.post('/instances').send(registration({ instanceId: 'zombie' })).expect(503),
    here.delete('/instances/kept').expect(503),
  ]);
  await there.delete('/instances/kept').expect(204);
  await there.post('/instances').send(registration({ instanceId: 'kept', incarnation: 'two' })).expect(201);
  gate.cut();
  gate.mend();
  await until(async () => (await here.get('/groups?consistency=strong')).status === 200, 15_000);
  await here.get('/instances/zombie?consistency=strong').expect(404);
  expect((await here.get('/instances/kept?consistency=strong').expect(200)).body.incarnation).toBe('two');
  expect(await raw.exists(keys.record('zombie'))).toBe(0);
});
