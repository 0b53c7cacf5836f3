import { Redis } from 'ioredis';
import { makeKeys } from '../../src/redis/scripts/keys.js';
import { nativeBackends, startHaproxy, type Balancer } from '../../test/helpers/haproxy.js';
import { startRedis, type TestRedis } from '../../test/helpers/redis.js';
import { openGate, type RedisGate } from '../../test/helpers/redis-gate.js';
import { startReplica, type Replica } from '../../test/helpers/replicas.js';
import { until } from '../../test/helpers/until.js';
import { TOKEN } from '../rig.js';

export const keys = makeKeys('service:');

export interface BedSetup {
  replicas?: number;
  env?: Record<string, string>;
  /** What only one replica has, by its number. */
  envOf?: (replica: number) => Record<string, string>;
  redisArgs?: string[];
  redisEnv?: Record<string, string>;
  /** Each replica's way to Redis can be closed. */
  gates?: boolean;
  /** A way of another kind than `gates`, such as one that delays: gives the port to connect to. */
  openWay?: (redisPort: number, replica: number) => Promise<{ port: number; close: () => Promise<void> }>;
  balancer?: boolean;
  /** What replicas connect to when it is not simply this Redis: a user of their own, or Sentinels. */
  redisUrl?: (redis: TestRedis) => Promise<string>;
}

/** One replica, over all of its lives: the port stays. */
export interface Member {
  url: string;
  replica: Replica;
  /** Its only way to Redis, if there are gates. */
  gate: RedisGate;
  /** False from before it is hurt until it is ready again: what it answers then, or not, is no fault of its own. */
  up: boolean;
  signal: (name: NodeJS.Signals) => void;
  kill: () => Promise<void>;
  /** A new process on the same port, ready when this resolves. */
  start: () => Promise<void>;
}

export interface Bed {
  redis: TestRedis;
  raw: Redis;
  members: Member[];
  balancer: Balancer | undefined;
  stop: () => Promise<void>;
}

/** On a machine that others use too. */
const READY_MS = 150_000;

type Stops = (() => unknown)[];

const standing = new Set<() => Promise<void>>();

/** Ends what is left of faults that were not over in time. */
export const stopAllBeds = () => Promise.all([...standing].map((stop) => stop()));

/** A Redis of its own, and replicas on it as processes; `stop` ends them all. */
export async function makeBed(setup: BedSetup = {}): Promise<Bed> {
  const stops: Stops = [];
  const stop = async () => {
    standing.delete(stop);
    for (const end of stops.splice(0).reverse()) await end();
  };
  standing.add(stop);
  try {
    const redis = await startRedis(setup.redisArgs, setup.redisEnv);
    stops.push(redis.stop);
    const raw = new Redis(redis.url, { maxRetriesPerRequest: null, retryStrategy: () => 20, maxLoadingRetryTime: 20 });
    raw.on('error', () => undefined);
    stops.push(() => raw.disconnect());
    const url = await setup.redisUrl?.(redis);
    const started = await Promise.allSettled(Array.from({ length: setup.replicas ?? 3 }, (_, n) => makeMember(n, setup, redis, stops, url)));
    const failure = started.find(({ status }) => status === 'rejected'); // only now: `stop` ends those that did start
    if (failure) throw (failure as PromiseRejectedResult).reason;
    const members = started.map((each) => (each as PromiseFulfilledResult<Member>).value);
    let balancer: Balancer | undefined;
    if (setup.balancer) {
      const haproxy = await startHaproxy(nativeBackends(members.map(({ replica }) => replica.port)));
      stops.push(haproxy.stop);
      await until(async () => (await haproxy.up('strict')).length === members.length);
      balancer = haproxy;
    }
    return { redis, raw, members, balancer, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function makeMember(n: number, { gates, openWay, env = {}, envOf }: BedSetup, redis: TestRedis, stops: Stops, url?: string): Promise<Member> {
  const way = gates ? await openGate(redis.port) : await openWay?.(redis.port, n);
  if (way) stops.push(way.close);
  const settings = {
    REDIS_URL: url ?? `redis://127.0.0.1:${way?.port ?? redis.port}`,
    API_TOKENS: TOKEN,
    TRUST_PROXY: '127.0.0.0/8',
    LEASE_TTL_MIN_SECONDS: '1',
    ...env,
    ...envOf?.(n),
  };
  const replica = await startReplica({ env: settings, withinMs: READY_MS });
  const member: Member = {
    url: replica.url,
    replica,
    gate: way as RedisGate,
    up: true,
    signal: (name) => member.replica.signal(name),
    kill: async () => {
      member.up = false;
      await member.replica.kill();
    },
    start: async () => {
      const { log } = member.replica;
      member.replica = await startReplica({ env: settings, port: replica.port, withinMs: READY_MS });
      member.replica.log.unshift(...log);
      member.up = true;
    },
  };
  stops.push(() => member.replica.kill());
  return member;
}
