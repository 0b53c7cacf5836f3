import { createServer, type AddressInfo } from 'node:net';
import { Redis } from 'ioredis';
import { pino } from 'pino';
import { expect, onTestFinished, test } from 'vitest';
import { startJobs } from '../../src/jobs/jobs.js';
import { createConnection } from '../../src/redis/connect/connection.js';
import { openStore } from '../../src/redis/open-store.js';
import { jobsPrefix } from '../../src/redis/scripts/keys.js';
import { parseRedisUrl } from '../../src/redis/connect/url.js';
import { silent } from '../helpers/gateway.js';
import { freePort } from '../helpers/ports.js';
import { startRedis } from '../helpers/redis.js';
import { exercise, openSmoke } from '../helpers/smoke.js';
import { until } from '../helpers/until.js';

const open = (url: string, log = silent) => openStore({ target: parseRedisUrl(url) }, { prefix: 'service:', eventsMax: 1000, plainLua: false }, log);
const refusal = async (url: string) => {
  const error = await open(url).then(
    (store) => (store.connection.disconnect(), new Error('it was accepted')),
    (reason: unknown) => reason as Error,
  );
  expect(error.message.split('\n'), 'one line').toHaveLength(1);
  return error.message;
};

async function guarded() {
  const redis = await startRedis();
  onTestFinished(() => redis.stop());
  const raw = new Redis(redis.url);
  onTestFinished(() => raw.disconnect());
  await raw.config('SET', 'requirepass', 'the-right-one');
  return { redis, raw };
}

/** A server that answers only INFO with sense, as a Redis of another version would. */
async function fakeRedis(info: string): Promise<number> {
  const server = createServer((socket) => {
    socket.on('error', () => undefined).on('data', (chunk: Buffer) => {
      for (const [, command = ''] of chunk.toString().matchAll(/\*\d+\r\n\$\d+\r\n(\w+)/g)) {
        const name = command.toUpperCase();
        socket.write(name === 'HELLO' ? "-ERR unknown command 'HELLO'\r\n" : name === 'INFO' ? `$${info.length}\r\n${info}\r\n` : '+OK\r\n');
      }
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => new Promise<void>((resolve) => server.close(() => resolve())));
  return (server.address() as AddressInfo).port;
}

test('a wrong or missing password is refused at once, saying what to correct', async () => {
  const { redis } = await guarded();
  for (const login of ['', ':wrong@', 'nobody:the-right-one@']) {
    const message = await refusal(`redis://${login}127.0.0.1:${redis.port}`);
    const why = login === '' ? 'needs a password: write it into REDIS_URL, .+' : 'refused the login \\(.+\\): correct the user and password in REDIS_URL';
    expect(message).toMatch(new RegExp(`^Redis at 127.0.0.1:${redis.port} ${why}$`));
    expect(message).not.toContain('the-right-one');
  }
});

test('a Redis that nobody can reach is refused within seconds, saying what to do, whatever kind it is', async () => {
  const port = await freePort();
  const forms = [`redis://127.0.0.1:${port}`, `redis+sentinel://127.0.0.1:${port}/main`, `redis+cluster://127.0.0.1:${port}`];
  for (const message of await Promise.all(forms.map(refusal))) {
    expect(message).not.toContain('Retrying');
    expect(message).toMatch(new RegExp(`^cannot reach Redis at 127.0.0.1:${port}.* \\(.*(ECONNREFUSED|sentinels are unreachable|startup nodes|no answer).*\\): start it, or correct REDIS_URL$`));
  }
});

test('a Redis older than 7.0 is refused by its version', async () => {
  const port = await fakeRedis('redis_version:6.2.6\r\nloading:0\r\n');
  expect(await refusal(`redis://127.0.0.1:${port}`)).toBe(`Redis at 127.0.0.1:${port} is version 6.2.6: Rollcall needs Redis 7.0 or newer, or Valkey`);
});

test('Valkey is welcome, whatever Redis it says to be', async () => {
  const port = await fakeRedis('redis_version:6.2.6\r\nvalkey_version:8.0.1\r\nloading:0\r\n');
  const store = await open(`redis://127.0.0.1:${port}`);
  store.connection.disconnect();
});

test('a Redis that may evict the registry is accepted with a warning', async () => {
  const redis = await startRedis(['--maxmemory', '64mb', '--maxmemory-policy', 'allkeys-lru']);
  onTestFinished(() => redis.stop());
  const lines: string[] = [];
  const store = await open(redis.url, pino({ level: 'warn' }, { write: (line: string) => lines.push(line) }));
  store.connection.disconnect();
  expect(lines.join()).toContain('maxmemory-policy noeviction');
});

/** The least that a user of the gateway needs. */
const RIGHTS = '~service:* ~{service}-jobs* +@read +@write +@connection +@transaction +@scripting -@dangerous +info +time';
const addUser = (raw: Redis, rights: string) => raw.call('ACL', 'SETUSER', 'gateway', 'reset', 'on', '>pw', ...rights.split(' '));

test('a user with the least rights can do everything, jobs included', async () => {
  const { redis, raw } = await guarded();
  await addUser(raw, RIGHTS);
  const target = parseRedisUrl(`redis://gateway:pw@127.0.0.1:${redis.port}`);
  const smoke = await openSmoke({ target }, 'service:');
  await exercise(smoke, raw);
  let ticks = 0;
  const jobs = startJobs({
    tickedAgoMs: () => undefined,
    connection: createConnection('jobs', { target }, silent), prefix: jobsPrefix('service:'), everyMs: 200, tick: () => Promise.resolve(ticks++), log: silent,
  });
  onTestFinished(() => jobs.close());
  await until(() => ticks >= 3);
  expect(await raw.acl('LOG')).toEqual([]);
});

test('a user who lacks rights is refused, naming the rights', async () => {
  const { redis, raw } = await guarded();
  await addUser(raw, '~service:* +@read +@write +@connection');
  expect(await refusal(`redis://gateway:pw@127.0.0.1:${redis.port}`)).toMatch(/lacks rights for this user \(NOPERM.*info.*\): see docs\/operating.md/);
});
