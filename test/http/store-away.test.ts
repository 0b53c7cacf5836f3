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
  const gateway = await buildGateway({ redisUrl: redis.url, tokens });
  const call = caller(gateway.app.server, secretOf('all'));
  await call.post('/instances').send(registration({ instanceId: 'game-1', incarnation: 'life-1', ttlSeconds: 60 })).expect(201);

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
  ['discover', (call) => call.get('/instances')],
  ['discover with a health check', (call) => call.get('/instances?healthCheck=true')],
  ['look at one', (call) => call.get('/instances/game-1')],
  ['patch', (call) => call.patch('/instances/game-1').send({ customState: 'away' })],
  ['remove', (call) => call.delete('/instances/nobody')],
  ['groups', (call) => call.get('/groups')],
];

/** Sends everything at once, with a token for all and one for some, and sees it refused in time. */
async function expectAllRefused(calls: Call[]) {
  const sent = calls.flatMap((call) => routes.map(([name, send]) => ({ name, send: () => send(call) })));
  await Promise.all(
    sent.map(async ({ name, send }) => {
      const answer = await Promise.race([send(), sleep(ANSWER_WITHIN_MS, undefined)]);
      expect(answer, `${name} within ${ANSWER_WITHIN_MS} ms`).toBeDefined();
      expectProblem(answer as Answer, 503, 'store_unavailable');
    }),
  );
}

const outages: Outage[] = [
  { name: 'killed', begin: (redis) => redis.kill(), end: (redis) => redis.restart() },
  { name: 'stopped without a word', begin: (redis) => redis.signal('SIGSTOP'), end: (redis) => redis.signal('SIGCONT') },
];

describe.each(outages)('while Redis is $name', (outage) => {
  test('every route that needs it is 503 with Retry-After in time, again and again, and works once it is back', async () => {
    const { call, scoped, leave, comeBack } = await gatewayOfItsOwn(outage);
    await leave();
    await expectAllRefused([call, scoped]);
    await expectAllRefused([call, scoped]);
    await call.get('//livez').expect(200);
    expectProblem(await call.post('/instances').send({}), 400, 'invalid_request');
    await comeBack();
    await until(async () => (await call.get('/groups')).status === 200);
    await call.post('/instances').send(registration({ instanceId: 'game-2' })).expect(201);
    await call.post('/instances/game-2/heartbeat').expect(200);
    await scoped.get('/instances/game-2').expect(200);
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
    const { body: listed } = await call.get('/instances').expect(200);
    expect((listed.instances as { instanceId: string }[]).filter((instance) => instance.instanceId === instanceId)).toHaveLength(1);
  });
});
