import { expect, test } from 'vitest';
import { caller } from '../helpers/gateway.js';
import { secretOf, tokensOf } from '../helpers/tokens.js';
import { until } from '../helpers/until.js';
import { keepBeating, listed, names, openSwept, registerAll, suspects } from '../holds/helpers.js';

test('an operator ends a hold: the suspects leave at once, the live stay, and it is told once by whom', async () => {
  const gateway = await openSwept();
  await registerAll(gateway, names(10), { ttlSeconds: 3 });
  await registerAll(gateway, names(3, 'live'), { ttlSeconds: 3 });
  keepBeating(gateway, names(3, 'live'));
  await until(async () => (await suspects(gateway)).length === 10, 8000);
  const [held] = await gateway.events('held');
  expect((await gateway.call.post('/groups/game/kr-1/evict').expect(200)).body).toEqual({ released: true });
  expect((await gateway.call.post('/groups/game/kr-1/evict').expect(200)).body).toEqual({ released: false });
  await until(async () => (await listed(gateway)).instances.length === 3, 1500);
  await until(async () => (await gateway.events('expired')).length === 10, 2000);
  const redisNow = Number((await gateway.raw.time())[0]) * 1000;
  expect(redisNow).toBeLessThan(Date.parse(held?.until ?? ''));
  expect(await gateway.events('released')).toMatchObject([{ cause: 'operator', by: expect.any(String) as string, type: 'game', group: 'kr-1' }]);
});

test('a group that is not held has nothing to end, known or not', async () => {
  const { call, events } = await openSwept();
  await call.post('/instances').send({ type: 'game', group: 'kr-1', hostname: 'h' }).expect(201);
  expect((await call.post('/groups/game/kr-1/evict').expect(200)).body).toEqual({ released: false });
  expect((await call.post('/groups/game/nowhere/evict').expect(200)).body).toEqual({ released: false });
  expect(await events('released')).toEqual([]);
});

test('ending a hold is for tokens that may admin, within their scope', async () => {
  const { app } = await openSwept({
    tokens: tokensOf({ name: 'writer', verbs: ['read', 'write'] }, { name: 'kr', verbs: ['admin'], types: ['game'], groups: ['kr-*'] }),
  });
  await caller(app.server, secretOf('writer')).post('/groups/game/kr-1/evict').expect(403);
  await caller(app.server, secretOf('kr')).post('/groups/game/eu-1/evict').expect(403);
  await caller(app.server, secretOf('kr')).post('/groups/game/kr-1/evict').expect(200);
  await caller(app.server, 'no-token').post('/groups/game/kr-1/evict').expect(401);
});

test.each(['/groups/ga:me/kr-1/evict', '/groups/game/%00/evict', '/groups/game/kr-1/evict?x=1'])('%s is refused', async (path) => {
  const { call } = await openSwept();
  await call.post(path).expect(400);
});
