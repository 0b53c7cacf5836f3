import { expect, test } from 'vitest';
import { sharedGateway } from '../helpers/shared-gateway.js';

const gateway = sharedGateway();

/** All that the first clients knew of. */
const server = {
  type: 'game',
  group: 'kr-1',
  hostname: 'game-7.kr-1.example.com',
  publicIp: '203.0.113.7',
  privateIp: '10.0.4.17',
  systemInfo: { cpu: 'AMD EPYC 7543', cores: 64, memoryMb: 65_536, os: 'linux' },
  performance: { tps: 59.9, latencyMs: 12, load: 0.4 },
};

test('the four main routes work with the first fields alone: register, heartbeat, discover, remove', async () => {
  const { call } = gateway();
  const registered = await call.post('/instances').send(server).expect(201);
  const id = registered.body.instanceId as string;
  expect(registered.body.heartbeatIntervalMs).toBeGreaterThan(0);

  await call.post(`/instances/${id}/heartbeat`).expect(200);
  const performance = { tps: 30.5, latencyMs: 40, load: 0.9 };
  await call.post(`/instances/${id}/heartbeat`).send({ performance }).expect(200);

  const discovered = await call.get('/instances?type=game&group=kr-1').expect(200);
  expect(discovered.body.instances).toMatchObject([{ ...server, instanceId: id, performance }]);
  expect((await call.get('/instances?type=game&group=kr-1&healthCheck=false').expect(200)).body.instances).toHaveLength(1);
  expect((await call.get('/instances?type=game&group=us-1').expect(200)).body.instances).toEqual([]);

  await call.delete(`/instances/${id}?type=chat&group=kr-1`).expect(404);
  await call.delete(`/instances/${id}?type=game&group=kr-1`).expect(204);
  expect((await call.get('/instances?type=game&group=kr-1').expect(200)).body.instances).toEqual([]);
  await call.post(`/instances/${id}/heartbeat`).expect(404);
});

test('the first fields alone are enough to register again after a restart', async () => {
  const { call } = gateway();
  const first = await call.post('/instances').send(server).expect(201);
  const second = await call.post('/instances').send(server).expect(201);
  expect(second.body.instanceId).not.toBe(first.body.instanceId);
});
