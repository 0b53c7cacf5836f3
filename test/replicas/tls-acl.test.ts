import { readFileSync } from 'node:fs';
import { Redis } from 'ioredis';
import { expect, onTestFinished, test } from 'vitest';
import { makeKeys } from '../../src/redis/scripts/keys.js';
import { boot } from '../helpers/boot.js';
import { makeCertificates, type Certificates } from '../helpers/certificates.js';
import { eventsIn } from '../helpers/events.js';
import { caller, registration, TOKEN } from '../helpers/gateway.js';
import { freePort } from '../helpers/ports.js';
import { startRedis, type TestRedis } from '../helpers/redis.js';
import { startReplica } from '../helpers/replicas.js';
import { openWatch } from '../helpers/sse.js';
import { until } from '../helpers/until.js';

/** The lines of the operating guide, as an operator pastes them: the first for one primary, the second for a Cluster. */
const LINES = [...readFileSync('docs/operating.md', 'utf8').matchAll(/^ACL SETUSER rollcall on >password (.+)$/gm)].map((match) => match[1] as string);
const [SINGLE = '', CLUSTER = ''] = LINES;

interface Place {
  redis: TestRedis;
  /** Everything is allowed to this one. */
  raw: Redis;
  tlsPort: number;
  certificates: Certificates;
}

/** A Redis that speaks TLS to the gateway, and in clear to the test. */
async function startTlsRedis(args: string[] = [], names?: string): Promise<Place> {
  const certificates = makeCertificates(names);
  onTestFinished(certificates.remove);
  const tlsPort = await freePort();
  const redis = await startRedis([...certificates.redisArgs(tlsPort), ...args]);
  onTestFinished(redis.stop);
  const raw = new Redis(redis.url);
  onTestFinished(() => raw.disconnect());
  return { redis, raw, tlsPort, certificates };
}

const allow = (raw: Redis, rights: string) => raw.call('ACL', 'SETUSER', 'rollcall', 'reset', 'on', '>password', ...rights.split(' '));
const settings = ({ certificates }: Place, url: string) => ({
  REDIS_URL: url, REDIS_TLS_CA: certificates.ca, API_TOKENS: TOKEN, LEASE_TTL_MIN_SECONDS: '1', RECONCILE_INTERVAL_MS: '1000', LOG_LEVEL: 'warn',
});

/** Every verb, watch, sweep, reconcile and queue, on a replica of its own. */
async function expectEverythingWorks(place: Place, url: string, prefix: string) {
  const { raw } = place;
  const keys = makeKeys(prefix);
  const replica = await startReplica({ env: settings(place, url) });
  onTestFinished(replica.kill);
  const call = caller(replica.url, TOKEN);
  const watch = openWatch(`${replica.url}/sd/v1/watch`, { headers: { 'x-api-token': TOKEN } });
  onTestFinished(() => watch.cut());
  const told = (event: string, id: string) => watch.next((frame) => frame.event === event && frame.json<{ instance: { instanceId: string } }>().instance.instanceId === id, 8000);

  await call.post('/instances').send(registration({ instanceId: 'a', ttlSeconds: 60 })).expect(201);
  await call.post('/instances').send(registration({ instanceId: 'dies', ttlSeconds: 1 })).expect(201);
  await call.post('/instances/a/heartbeat').send({ performance: { tps: 60 }, labels: { zone: 'a' } }).expect(200);
  await call.post('/heartbeats').send([{ instanceId: 'a' }, { instanceId: 'nobody' }]).expect(200);
  await told('updated', 'a');
  await call.patch('/instances/a').send({ labels: { zone: null } }).expect(200);
  await call.get('/instances?consistency=strong').expect(200);
  await call.get('/events?limit=2').expect(200);
  await told('expired', 'dies'); // by the queue: without it nobody would sweep for 12 s

  await raw.sadd(keys.members('game:kr-1'), 'ghost');
  await raw.multi().hset(keys.face('hand'), { hostname: 'h' }).expire(keys.face('hand'), 30).sadd(keys.members('game:kr-1'), 'hand').exec();
  await told('registered', 'hand');
  await until(async () => (await raw.sismember(keys.members('game:kr-1'), 'ghost')) === 0);

  await raw.script('FLUSH'); // as after a failover: everything is loaded again
  await call.post('/instances').send(registration({ instanceId: 'b', ttlSeconds: 60 })).expect(201);
  await call.delete('/instances/a').expect(204);
  await told('removed', 'a');
  expect((await eventsIn(raw, keys.events)).map(({ kind }) => kind)).toEqual(expect.arrayContaining(['registered', 'updated', 'expired', 'removed']));
  expect(await raw.acl('LOG'), 'what Redis refused').toEqual([]);
  expect(replica.log.filter((line) => /"level":"(warn|error|fatal)"/.test(line))).toEqual([]);
}

test('over TLS, with an authority of its own and a user with just the documented rights, everything works', { timeout: 30_000 }, async () => {
  const place = await startTlsRedis();
  await allow(place.raw, SINGLE);
  await expectEverythingWorks(place, `rediss://rollcall:password@127.0.0.1:${place.tlsPort}`, 'service:');
});

test('the same on a Cluster, with the rights documented for one', { timeout: 30_000 }, async () => {
  const bus = String(await freePort());
  const place = await startTlsRedis(['--cluster-enabled', 'yes', '--cluster-port', bus, '--cluster-announce-ip', '127.0.0.1', '--tls-cluster', 'yes']);
  await place.raw.call('CLUSTER', 'ADDSLOTSRANGE', '0', '16383');
  await until(async () => String(await place.raw.call('CLUSTER', 'INFO')).includes('cluster_state:ok'));
  await allow(place.raw, CLUSTER);
  await expectEverythingWorks(place, `rediss+cluster://rollcall:password@127.0.0.1:${place.tlsPort}`, '{service}:');
});

/** Starts one that must not run, and gives the one line that it leaves. */
async function refusal(env: Record<string, string>): Promise<string> {
  const { exited, stdout } = boot({ NODE_ENV: 'production', HOST: '127.0.0.1', PORT: String(await freePort()), ...env });
  expect(await exited).toBe(1);
  return (JSON.parse(stdout().trim().split('\n').at(-1) ?? '{}') as { msg: string }).msg;
}

test('a certificate that nobody vouches for, or for another name, is refused at the start, saying so', { timeout: 30_000 }, async () => {
  const place = await startTlsRedis();
  await allow(place.raw, SINGLE);
  const env = settings(place, `rediss://rollcall:password@127.0.0.1:${place.tlsPort}`);
  const { REDIS_TLS_CA: _, ...withoutCa } = env;
  const stranger = makeCertificates();
  onTestFinished(stranger.remove);
  const elsewhere = await startTlsRedis([], 'DNS:redis.internal');
  const [unknown, wrongAuthority, wrongName] = await Promise.all([
    refusal(withoutCa),
    refusal({ ...env, REDIS_TLS_CA: stranger.ca }),
    refusal(settings(elsewhere, `rediss://127.0.0.1:${elsewhere.tlsPort}`)),
  ]);
  for (const message of [unknown, wrongAuthority]) expect(message).toMatch(/Redis at 127\.0\.0\.1:\d+ .*(certificate|signature)/);
  expect(wrongName).toMatch(/Redis at 127\.0\.0\.1:\d+ .*(altnames|not in the cert)/);
});

test('none of the documented rights reaches beyond the registry', { timeout: 30_000 }, async () => {
  const { raw, redis } = await startTlsRedis();
  await allow(raw, SINGLE);
  const user = new Redis({ port: redis.port, username: 'rollcall', password: 'password' });
  onTestFinished(() => user.disconnect());
  await raw.set('of-others', 'x');
  const foreign = [['GET', 'of-others'], ['SET', 'of-others', 'y'], ['EVAL', "return redis.call('GET', 'of-others')", '0'], ['PUBLISH', 'x', 'y']];
  const powers = [['FLUSHALL'], ['FLUSHDB'], ['KEYS', '*'], ['CONFIG', 'GET', '*'], ['ACL', 'LIST'], ['CLIENT', 'KILL', 'TYPE', 'normal'], ['SCRIPT', 'FLUSH'], ['MONITOR'], ['RANDOMKEY'], ['DBSIZE'], ['SHUTDOWN', 'NOSAVE'], ['REPLICAOF', 'NO', 'ONE']];
  for (const [name = '', ...args] of [...foreign, ...powers]) await expect(user.call(name, ...args), name).rejects.toThrow(/NOPERM|can't access|can't run|No permissions/i);
  expect(await raw.get('of-others')).toBe('x');
});

// A right whose absence would otherwise show only in answers.
test.each(['~service:*', '+evalsha', '+eval', '+info'])('a user without %s is refused at the start, pointing to the line that mends it', { timeout: 15_000 }, async (right) => {
  const place = await startTlsRedis();
  expect(SINGLE.split(' ')).toContain(right);
  await allow(place.raw, SINGLE.split(' ').filter((one) => one !== right).join(' '));
  const message = await refusal(settings(place, `rediss://rollcall:password@127.0.0.1:${place.tlsPort}`));
  expect(message).toMatch(/^Redis at 127\.0\.0\.1:\d+ lacks rights for this user \(.+\): see docs\/operating\.md for the ACL line$/);
});
