import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, onTestFinished, test } from 'vitest';
import { buildGateway, caller, registration } from '../helpers/gateway.js';
import { expectProblem, type Answer } from '../helpers/problem.js';
import { startRedis, type TestRedis } from '../helpers/redis.js';
import { secretOf, tokensOf } from '../helpers/tokens.js';
import { until } from '../helpers/until.js';

const ANSWER_WITHIN_MS = 1500;
interface Outage {
  name: string;
  begin: (redis: TestRedis) => Promise<void> | void;
  end: (redis: TestRedis) => Promise<void> | void;
}

const ULID = /^[0-7][0-9A-HJKMNP-TV-Z]{25}$/;

async function gatewayOfItsOwn({ begin, end }: Outage) {
  const redis = await startRedis();
  onTestFinished(redis.stop);
  const tokens = tokensOf({ name: 'all', verbs: ['read', 'write', 'admin'] }, { name: 'game', verbs: ['read', 'write', 'admin'], types: ['game'] });
  const gateway = await buildGateway({ redisUrl: redis.url, tokens, fromMemory: true });
  const call = caller(gateway.app.server, secretOf('all'));
  await call.post('/instances').send(registration({ instanceId: 'game-1', incarnation: 'life-1', ttlSeconds: 60 })).expect(201);
  await call.get('/instances?consistency=strong').expect(200); // it has reached the view

  let away = false;
  const leave = async () => {
    away = true;
    await begin(redis);
  };
  const comeBack = async () => {
    if (away) await end(redis);
    away = false;
  };
  onTestFinished(comeBack); // a test that fails half-way must not leave the cleaning to wait for Redis
  return { call, scoped: caller(gateway.app.server, secretOf('game')), leave, comeBack };
}

type Call = ReturnType<typeof caller>;
/** Every route that needs Redis. */
const routes: [name: string, send: (call: Call) => PromiseLike<Answer>][] = [
  ['register', (call) => call.post('/instances').send(registration())],
  ['heartbeat', (call) => call.post('/instances/game-1/heartbeat')],
  ['heartbeat with a patch', (call) => call.post('/instances/game-1/heartbeat').send({ status: 'ready' })],
  ['batch', (call) => call.post('/heartbeats').send(Array.from({ length: 1000 }, () => ({ instanceId: 'game-1' })))],
  ['patch', (call) => call.patch('/instances/game-1').send({ customState: 'away' })],
  ['remove', (call) => call.delete('/instances/nobody')],
  ['strong discover', (call) => call.get('/instances?consistency=strong')],
  ['strong discover with a health check', (call) => call.get('/instances?healthCheck=true&consistency=strong')],
  ['strong look at one', (call) => call.get('/instances/game-1?consistency=strong')],
  ['strong groups', (call) => call.get('/groups?consistency=strong')],
  ['discover from a position of another epoch', (call) => call.get('/instances?minRevision=1x1.1-1')],
  ['history', (call) => call.get('/events')],
];
/** Every route that is answered from memory, and what shows that it knows the instance. */
const reads: [name: string, path: string, shows: object][] = [
  ['discover', '/instances', { instances: [{ instanceId: 'game-1' }] }],
  ['discover a group', '/instances?type=game&group=kr-1', { instances: [{ instanceId: 'game-1' }] }],
  ['discover with a health check', '/instances?healthCheck=true', { instances: [{ instanceId: 'game-1' }] }],
  ['look at one', '/instances/game-1', { instanceId: 'game-1', incarnation: 'life-1' }],
  ['groups', '/groups', { groups: [{ group: 'kr-1', instances: 1 }] }],
];

async function inTime(name: string, answering: PromiseLike<Answer>): Promise<Answer> {
  const answer = await Promise.race([answering, sleep(ANSWER_WITHIN_MS, undefined)]);
  expect(answer, `${name} within ${ANSWER_WITHIN_MS} ms`).toBeDefined();
  return answer as Answer;
}

/** Sends everything at once, with a token for all and one for some: what needs Redis is refused in time, the rest answered. */
async function expectOnlyMemory(calls: Call[]) {
  const refused = calls.flatMap((call) => routes.map(async ([name, send]) => expectProblem(await inTime(name, send(call)), 503, 'store_unavailable')));
  const answered = calls.flatMap((call) =>
    reads.map(async ([name, path, shows]) => expect(await inTime(name, call.get(path)), name).toMatchObject({ status: 200, body: shows })),
  );
  await Promise.all([...refused, ...answered]);
}

const staleSeconds = async (call: Call) => Number((await call.get('/instances').expect(200)).headers['x-stale-seconds'] ?? 0);

const outages: Outage[] = [
  { name: 'killed', begin: (redis) => redis.kill(), end: (redis) => redis.restart() },
  { name: 'stopped without a word', begin: (redis) => redis.signal('SIGSTOP'), end: (redis) => redis.signal('SIGCONT') },
];

describe.each(outages)('while Redis is $name', (outage) => {
  test('what needs it is 503 with Retry-After in time, again and again, reads go on from memory, and all works once it is back', async () => {
    const { call, scoped, leave, comeBack } = await gatewayOfItsOwn(outage);
    expect(await staleSeconds(call)).toBe(0);
    await leave();
    await expectOnlyMemory([call, scoped]);
    await until(async () => (await staleSeconds(call)) >= 2); // says how old it is
    await expectOnlyMemory([call, scoped]);
    await call.get('//livez').expect(200);
    await call.get('//readyz').expect(200);
    await until(async () => (await call.get('//readyz?require=redis')).status === 503);
    expectProblem(await call.post('/instances').send({}), 400, 'invalid_request');
    await comeBack();
    await until(async () => (await call.get('/groups?consistency=strong')).status === 200);
    await call.get('//readyz?require=redis').expect(200);
    await until(async () => (await staleSeconds(call)) === 0, 5000); // what it lost may still be given back by others
    await call.post('/instances').send(registration({ instanceId: 'game-2' })).expect(201);
    await call.post('/instances/game-2/heartbeat').expect(200);
    await scoped.get('/instances/game-2?consistency=strong').expect(200);
  });

  test('a registration names the ids to retry with, and the retry is one registration', async () => {
    const { call, scoped, leave, comeBack } = await gatewayOfItsOwn(outage);
    await leave();
    const minted = await call.post('/instances').send(registration());
    expectProblem(minted, 503, 'store_unavailable');
    const { instanceId, incarnation } = minted.body as Record<string, string>;
    expect([instanceId, incarnation]).toEqual([expect.stringMatching(ULID), expect.stringMatching(ULID)]);
    const own = { instanceId: 'mine', incarnation: 'life-7' };
    expect((await scoped.post('/instances').send(registration(own))).body).toMatchObject({ code: 'store_unavailable', ...own });
    await comeBack();
    const retry = registration({ instanceId, incarnation });
    const { body } = await until(async () => [await call.post('/instances').send(retry)].find(({ status }) => status < 300));
    expect(body).toMatchObject({ instanceId, incarnation });
    await call.post('/instances').send(retry).expect(200);
    const { body: listed } = await until(async () => [await call.get('/instances?consistency=strong')].find(({ status }) => status === 200));
    expect((listed.instances as { instanceId: string }[]).filter((instance) => instance.instanceId === instanceId)).toHaveLength(1);
  });
});
