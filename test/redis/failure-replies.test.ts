import { Redis } from 'ioredis';
import { describe, expect, onTestFinished, test } from 'vitest';
import { buildGateway, caller, registration, TOKEN } from '../helpers/gateway.js';
import { freePort } from '../helpers/ports.js';
import { expectProblem, type Answer } from '../helpers/problem.js';
import { startRedis, type TestRedis } from '../helpers/redis.js';
import { until } from '../helpers/until.js';

type Call = ReturnType<typeof caller>;
type Verb = 'register' | 'repeat' | 'heartbeat' | 'beatAndPatch' | 'batch' | 'patch' | 'remove' | 'strongList' | 'strongLook' | 'history';

const VERBS: Record<Verb, (call: Call) => PromiseLike<Answer>> = {
  register: (call) => call.post('/instances').send(registration()),
  repeat: (call) => call.post('/instances').send(registration({ instanceId: 'game-1', incarnation: 'life-1', ttlSeconds: 60 })),
  heartbeat: (call) => call.post('/instances/game-1/heartbeat').send({ incarnation: 'life-1' }),
  beatAndPatch: (call) => call.post('/instances/game-1/heartbeat').send({ customState: `at ${Math.random()}` }),
  batch: (call) => call.post('/heartbeats').send([{ instanceId: 'game-1' }, { instanceId: 'game-2', performance: { tps: 1 } }]),
  patch: (call) => call.patch('/instances/game-1').send({ customState: `at ${Math.random()}` }),
  remove: (call) => call.delete('/instances/game-2'),
  strongList: (call) => call.get('/instances?consistency=strong'),
  strongLook: (call) => call.get('/instances/game-1?consistency=strong'),
  history: (call) => call.get('/events'),
};
const verbs = Object.keys(VERBS) as Verb[];

interface Cause {
  /** What the reply begins with. */
  reply: string;
  when: string;
  args?: string[];
  /** A command that is answered so; SET if none is named. */
  probe?: string[];
  begin: (raw: Redis, redis: TestRedis) => Promise<unknown>;
  end: (raw: Redis) => Promise<unknown>;
  /** What goes on all the same. */
  spared?: Verb[];
}

/** Anybody who asks is answered so now. */
async function says({ port }: TestRedis, reply: string, probe: string[] = ['SET', '{service}:probe', 'x']) {
  const [name = '', ...args] = probe;
  const anybody = new Redis({ port, lazyConnect: true, enableReadyCheck: false, retryStrategy: () => null, protocol: 2 });
  anybody.on('error', () => undefined);
  await until(() => anybody.call(name, ...args).then(() => false, (error: Error) => error.message.startsWith(reply)), 5000);
  anybody.disconnect();
}
const FILLING = 400;

/** Each by a real Redis that has cause to say so. */
const causes: Cause[] = [
  {
    reply: 'READONLY', when: 'the node has become a replica',
    begin: async (raw) => raw.replicaof('127.0.0.1', await freePort()),
    end: (raw) => raw.replicaof('NO', 'ONE'),
  },
  {
    reply: 'MASTERDOWN', when: 'the node is a replica that has lost its primary and may not serve old data',
    args: ['--replica-serve-stale-data', 'no', '--replica-read-only', 'no'], probe: ['GET', 'x'],
    begin: async (raw) => raw.replicaof('127.0.0.1', await freePort()),
    end: (raw) => raw.replicaof('NO', 'ONE'),
  },
  {
    reply: 'NOREPLICAS', when: 'fewer replicas follow than min-replicas-to-write says',
    begin: (raw) => raw.config('SET', 'min-replicas-to-write', '1'),
    end: (raw) => raw.config('SET', 'min-replicas-to-write', '0'),
  },
  {
    reply: 'OOM', when: 'the node is full: what frees memory or renews goes on',
    begin: (raw) => raw.config('SET', 'maxmemory', '1mb'),
    end: (raw) => raw.config('SET', 'maxmemory', '0'),
    spared: ['heartbeat', 'beatAndPatch', 'batch', 'remove', 'strongList', 'strongLook', 'history'],
  },
  {
    reply: 'BUSY', when: "somebody's script runs for long",
    args: ['--busy-reply-threshold', '50'],
    begin: (_raw, redis) => {
      const other = new Redis(redis.url);
      onTestFinished(() => other.disconnect());
      other.eval('while true do end', 0).catch(() => undefined);
      return Promise.resolve();
    },
    end: (raw) => raw.script('KILL'),
  },
  {
    reply: 'LOADING', when: 'the node reads its data',
    args: ['--enable-debug-command', 'yes', '--loading-process-events-interval-bytes', '1024', '--rdbcompression', 'no'],
    begin: async (raw, redis) => {
      const filling = Array.from({ length: FILLING }, (_, i) => [`filling:${i}`, 'x'.repeat(500)]);
      await raw.mset(filling.flat());
      await raw.config('SET', 'key-load-delay', '50000');
      const other = new Redis(redis.url);
      onTestFinished(() => other.disconnect());
      other.call('DEBUG', 'RELOAD').catch(() => undefined);
    },
    end: (raw) => raw.config('SET', 'key-load-delay', '0'),
  },
  {
    reply: 'NOAUTH', when: 'the node wants a password, and connections were ended',
    begin: async (raw) => {
      await raw.config('SET', 'requirepass', 'new');
      await raw.call('CLIENT', 'KILL', 'TYPE', 'normal');
    },
    end: (raw) => raw.config('SET', 'requirepass', ''),
  },
  {
    reply: 'NOPERM', when: 'the user has lost a right', probe: ['EVALSHA', 'x', '0'],
    begin: (raw) => raw.call('ACL', 'SETUSER', 'default', '-evalsha'),
    end: (raw) => raw.call('ACL', 'SETUSER', 'default', '+evalsha'),
  },
  {
    reply: 'CLUSTERDOWN', when: "nobody has the registry's slot",
    args: ['--cluster-enabled', 'yes', '--cluster-node-timeout', '1000'],
    begin: (raw) => raw.call('CLUSTER', 'DELSLOTSRANGE', '0', '16383'),
    end: (raw) => raw.call('CLUSTER', 'ADDSLOTSRANGE', '0', '16383'),
  },
];

async function gatewayOn({ args = [], reply }: Pick<Cause, 'args' | 'reply'>) {
  const cluster = reply === 'CLUSTERDOWN';
  const redis = await startRedis([...args, ...(cluster ? ['--cluster-port', String(await freePort())] : [])]);
  onTestFinished(redis.stop);
  const admin = new Redis(redis.url);
  onTestFinished(() => admin.disconnect());
  await admin.call('ACL', 'SETUSER', 'admin', 'on', '>secret', '~*', '&*', '+@all');
  const raw = new Redis({ port: redis.port, username: 'admin', password: 'secret', retryStrategy: () => 50 });
  raw.on('error', () => undefined);
  onTestFinished(() => raw.disconnect());
  if (cluster) {
    await raw.call('CLUSTER', 'ADDSLOTSRANGE', '0', '16383');
    await until(async () => String(await raw.call('CLUSTER', 'INFO')).includes('cluster_state:ok'));
  }
  const gateway = await buildGateway({ redisUrl: redis.url, prefix: '{service}:', fromMemory: true });
  const call = caller(gateway.app.server, TOKEN);
  for (const n of [1, 2]) await call.post('/instances').send(registration({ instanceId: `game-${n}`, incarnation: `life-${n}`, ttlSeconds: 60 })).expect(201);
  await call.get('/instances?consistency=strong').expect(200); // they have reached the view
  return { redis, raw, call };
}

/** A refused batch is refused as a whole, or id by id. */
function expectRefused(verb: Verb, answer: Answer) {
  const { status, body } = answer as Answer & { body: { results?: { status: number; code?: string }[] } };
  if (verb !== 'batch' || status !== 200) return expectProblem(answer, 503, 'store_unavailable');
  expect(body.results).toMatchObject([{ status: 503, code: 'store_unavailable' }, { status: 503, code: 'store_unavailable' }]);
}

async function expectServedAgain(call: Call) {
  for (const verb of verbs.filter((one) => one !== 'remove')) {
    const answer = await until(async () => [await VERBS[verb](call)].find(({ status }) => status < 300), 10_000);
    if (verb === 'batch') expect((answer.body as { results: { status: number }[] }).results.map(({ status }) => status), 'batch').toEqual([200, expect.any(Number)]);
  }
}

describe.each(causes)('$reply: $when', (cause) => {
  test('every verb is refused with 503 and Retry-After, reads go on, and all is well once the cause is gone', { timeout: 30_000 }, async () => {
    const { redis, raw, call } = await gatewayOn(cause);
    await cause.begin(raw, redis);
    await says(redis, cause.reply, cause.probe);
    let over = false;
    const end = async () => {
      if (!over) await cause.end(raw);
      over = true;
    };
    onTestFinished(end); // a test that fails half-way must not leave the cleaning to wait
    const spared = cause.spared ?? [];

    // At once, as one turn may hold them: none is refused for what another was refused for.
    const answers = await Promise.all(verbs.map(async (verb) => [verb, await VERBS[verb](call)] as const));
    const of = Object.fromEntries(answers.map(([verb, { status }]) => [verb, status]));
    const expected = Object.fromEntries(verbs.map((verb) => [verb, spared.includes(verb) ? (expect.toSatisfy((status) => status < 300) as number) : expect.any(Number)]));
    expect(of).toEqual(expected);
    for (const [verb, answer] of answers) if (!spared.includes(verb)) expectRefused(verb, answer);
    await says(redis, cause.reply, cause.probe); // still
    for (const verb of spared.filter((one) => one !== 'remove')) expect((await VERBS[verb](call)).status, verb).toBeLessThan(300);

    const { body } = await call.get('/instances').expect(200);
    expect((body.instances as { instanceId: string }[]).map(({ instanceId }) => instanceId)).toContain('game-1');
    await call.get('//livez').expect(200);
    const from = performance.now();
    await end();
    await expectServedAgain(call);
    process.stdout.write(`${cause.reply}: served again ${Math.round(performance.now() - from)} ms after its cause was gone\n`);
  });
});

// What a hand with redis-cli may do to one key: here each key in turn is a list for a while.
const spoilt = (raw: Redis, key: string) => raw.multi().renamenx(key, `${key}-aside`).rpush(key, 'x').exec();
const mended = (raw: Redis, key: string) => raw.multi().del(key).renamenx(`${key}-aside`, key).exec();

test.each([
  ['record', { heartbeat: 200, patch: 200, remove: 204 }], // the replica knows it, and gives it back
  ['instance', { heartbeat: 200, patch: 200, remove: 204 }],
])('WRONGTYPE: when the %s of one instance is spoilt, its neighbours are served at the same moment, and registering mends it', async (kind, expected) => {
  const { raw, call } = await gatewayOn({ reply: 'WRONGTYPE' });
  const onBoth = (send: (id: string) => PromiseLike<Answer>) => Promise.all(['game-1', 'game-2'].map(send));
  const statuses = async (send: (id: string) => PromiseLike<Answer>) => (await onBoth(send)).map(({ status }) => status);
  const spoil = () => raw.multi().del(`{service}:${kind}:game-2`).rpush(`{service}:${kind}:game-2`, 'x').exec();

  await spoil();
  expect(await statuses((id) => call.post(`/instances/${id}/heartbeat`))).toEqual([200, expected.heartbeat]);
  await spoil();
  const { body } = await call.post('/heartbeats').send([{ instanceId: 'game-2' }, { instanceId: 'game-1' }]).expect(200);
  expect((body.results as { status: number }[]).map(({ status }) => status)).toEqual([expected.heartbeat, 200]);
  await spoil();
  expect(await statuses((id) => call.patch(`/instances/${id}`).send({ customState: 'x' }))).toEqual([200, expected.patch]);
  await spoil();
  for (const status of await statuses((instanceId) => call.post('/instances').send(registration({ instanceId })))) expect(status).toBeLessThan(300);
  expect(await statuses((id) => call.get(`/instances/${id}?consistency=strong`))).toEqual([200, 200]);
  expect(await raw.type(`{service}:${kind}:game-2`)).toBe('hash');
  await spoil();
  expect(await statuses((id) => call.delete(`/instances/${id}`))).toEqual([204, expected.remove]);
});

test.each(['leases', 'groups', 'group:game:kr-1', 'events', 'beats', 'epoch', 'alive', 'grace', 'swept'])(
  'WRONGTYPE: while the key %s is spoilt every verb is served or refused with 503, and served when it is mended',
  { timeout: 30_000 },
  async (name) => {
    const { raw, call } = await gatewayOn({ reply: 'WRONGTYPE' });
    await call.post('/instances/game-1/heartbeat').expect(200);
    await spoilt(raw, `{service}:${name}`);
    const answers = await Promise.all(verbs.map(async (verb) => [verb, await VERBS[verb](call)] as const));
    for (const [, answer] of answers) if (answer.status >= 300) expectProblem(answer, 503, 'store_unavailable');
    await call.get('/instances').expect(200);
    await mended(raw, `{service}:${name}`);
    await expectServedAgain(call);
  },
);
