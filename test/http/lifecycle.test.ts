import { expect, test } from 'vitest';
import { until } from '../helpers/until.js';
import { buildGateway, registration } from '../helpers/gateway.js';

test('a server registers, is discovered, renews its lease and leaves', async () => {
  const { call } = await buildGateway();
  const registered = await call.post('/instances').send(registration()).expect(201);
  const id = registered.body.instanceId as string;
  expect(registered.headers.location).toBe(`/sd/v1/instances/${id}`);

  const found = await call.get('/instances?type=game&group=kr-1').expect(200);
  expect(found.body.instances).toMatchObject([{ instanceId: id, hostname: 'game-1.example.com', status: 'ready' }]);

  const renewed = await call.post(`/instances/${id}/heartbeat`).expect(200);
  expect(renewed.body).toMatchObject({ nextHeartbeatMs: expect.any(Number) as number, expiresAt: expect.stringMatching(/Z$/) as string });

  await call.delete(`/instances/${id}`).expect(204);
  await call.delete(`/instances/${id}`).expect(404);
  await call.post(`/instances/${id}/heartbeat`).expect(404);
  expect((await call.get('/instances?type=game&group=kr-1').expect(200)).body).toEqual({ instances: [] });
});

test('a server that stops sending heartbeats leaves discover at its end and is swept with one event', async () => {
  const { call, maintenance, raw, keys } = await buildGateway();
  const { body } = await call.post('/instances').send(registration({ ttlSeconds: 1 })).expect(201);
  const id = body.instanceId as string;

  await until(async () => (await call.get('/instances')).body.instances.length === 0);
  expect((await maintenance.sweep()).evicted).toEqual([`game:kr-1:${id}`]);
  expect((await maintenance.sweep()).evicted).toEqual([]);

  const events = (await raw.xrange(keys.events, '-', '+')).map(([, fields]) => fields[fields.indexOf('kind') + 1]);
  expect(events).toEqual(['registered', 'expired']);
  expect(await raw.exists(keys.face(id), keys.record(id), keys.leases, keys.members('game:kr-1'))).toBe(0);
});
