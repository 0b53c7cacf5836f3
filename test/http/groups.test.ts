import { expect, test } from 'vitest';
import { buildGateway, caller, registration } from '../helpers/gateway.js';
import { sharedGateway } from '../helpers/shared-gateway.js';
import { secretOf, tokensOf } from '../helpers/tokens.js';
import { until } from '../helpers/until.js';

const gateway = sharedGateway();
const none = { initializing: 0, ready: 0, shutting_down: 0, error: 0 };

test('groups are counted by type, group and status, in order', async () => {
  const { call } = gateway();
  const fleet = [
    { type: 'game', group: 'kr-1' },
    { type: 'game', group: 'kr-1', status: 'error' },
    { type: 'game', group: 'kr-1', instanceId: 'cordoned' },
    { type: 'game', group: 'eu-1', status: 'initializing' },
    { type: 'chat' },
  ];
  for (const fields of fleet) await call.post('/instances').send({ hostname: 'h', ...fields }).expect(201);
  await call.patch('/instances/cordoned').send({ cordoned: true }).expect(200);
  expect((await call.get('/groups').expect(200)).body).toEqual({
    groups: [
      { type: 'chat', group: 'default', instances: 1, cordoned: 0, suspects: 0, statuses: { ...none, ready: 1 } },
      { type: 'game', group: 'eu-1', instances: 1, cordoned: 0, suspects: 0, statuses: { ...none, initializing: 1 } },
      { type: 'game', group: 'kr-1', instances: 3, cordoned: 1, suspects: 0, statuses: { ...none, ready: 2, error: 1 } },
    ],
  });
});

test('a registry with nothing in it has no groups', async () => {
  expect((await gateway().call.get('/groups').expect(200)).body).toEqual({ groups: [] });
});

test('a group goes with its last instance, removed or lapsed', async () => {
  const { call } = gateway();
  await call.post('/instances').send(registration({ instanceId: 'leaves' })).expect(201);
  await call.post('/instances').send(registration({ group: 'eu-1', ttlSeconds: 1 })).expect(201);
  await call.delete('/instances/leaves').expect(204);
  await until(async () => (await call.get('/groups')).body.groups.length === 0);
});

test('a token sees the groups it is for', async () => {
  const { app } = await buildGateway({ tokens: tokensOf({ name: 'all', verbs: ['read', 'write'] }, { name: 'kr', verbs: ['read'], types: ['game'], groups: ['kr-*'] }) });
  const all = caller(app.server, secretOf('all'));
  for (const home of [{ group: 'kr-1' }, { group: 'kr-2' }, { group: 'eu-1' }, { type: 'chat' }]) await all.post('/instances').send(registration(home)).expect(201);
  const { body } = await caller(app.server, secretOf('kr')).get('/groups').expect(200);
  expect((body.groups as { type: string; group: string }[]).map(({ type, group }) => `${type}:${group}`)).toEqual(['game:kr-1', 'game:kr-2']);
});
