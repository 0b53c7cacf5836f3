import { Redis } from 'ioredis';
import { makeKeys } from '../../src/redis/scripts/keys.js';
import { eventsIn } from './events.js';
import { caller, registration, TOKEN } from './gateway.js';
import { nativeBackends, startHaproxy } from './haproxy.js';
import { startRedis } from './redis.js';
import { openGate, type RedisGate } from './redis-gate.js';
import { startReplica, type Replica } from './replicas.js';
import { until } from './until.js';

export const FLEET_PREFIX = 'service:';

export interface FleetSetup {
  size?: number;
  env?: Record<string, string>;
}

export interface Member {
  replica: Replica;
  /** Its only way to Redis. */
  gate: RedisGate;
  /** Puts a new process on the same port. */
  start: () => Promise<void>;
}

/** Replicas as processes of their own, each behind a gate to one Redis that is theirs alone. */
export async function startFleet({ size = 3, env = {} }: FleetSetup = {}) {
  const stops: (() => unknown)[] = [];
  const stop = async () => {
    for (const end of stops.splice(0).reverse()) await end();
  };
  try {
    const redis = await startRedis();
    stops.push(redis.stop);
    const raw = new Redis(redis.url);
    raw.on('error', () => undefined);
    stops.push(() => raw.disconnect());

    const startMember = async (): Promise<Member> => {
      const gate = await openGate(redis.port);
      stops.push(gate.close);
      const settings = { REDIS_URL: `redis://127.0.0.1:${gate.port}`, REDIS_PREFIX: FLEET_PREFIX, API_TOKENS: TOKEN, TRUST_PROXY: '127.0.0.0/8', LEASE_TTL_MIN_SECONDS: '1', ...env };
      const member: Member = {
        gate,
        replica: await startReplica({ env: settings }),
        start: async () => {
          member.replica = await startReplica({ env: settings, port: member.replica.port });
        },
      };
      stops.push(() => member.replica.kill());
      return member;
    };
    const members = await Promise.all(Array.from({ length: size }, startMember));

    return {
      redis,
      raw,
      keys: makeKeys(FLEET_PREFIX),
      members,
      call: (i: number) => caller((members[i] as Member).replica.url, TOKEN),
      startBalancer: async () => {
        const balancer = await startHaproxy(nativeBackends(members.map(({ replica }) => replica.port)));
        stops.push(balancer.stop);
        await until(async () => (await balancer.up('strict')).length === size);
        return balancer;
      },
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

export type Fleet = Awaited<ReturnType<typeof startFleet>>;

/** Ids of the `expired` events, one for each event, sorted. */
export async function expiredIds({ raw, keys }: Pick<Fleet, 'raw' | 'keys'>): Promise<string[]> {
  const events = await eventsIn(raw, keys.events);
  return events.flatMap(({ kind, instanceId }) => (kind === 'expired' && instanceId !== undefined ? [instanceId] : [])).sort();
}

/** Registers instances that will not be heard of again, in groups of four, of which none is held, and gives back their ids, sorted. */
export async function registerGhosts(fleet: Fleet, count: number, stem = 'ghost', ttlSeconds = 1): Promise<string[]> {
  const ids = Array.from({ length: count }, (_, i) => `${stem}-${i}`);
  const ghost = (instanceId: string, i: number) => registration({ instanceId, group: `kr-${i >> 2}`, ttlSeconds });
  await Promise.all(ids.map((instanceId, i) => fleet.call(0).post('/instances').send(ghost(instanceId, i)).expect(201)));
  return ids.sort();
}
