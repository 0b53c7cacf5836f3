import { setTimeout as sleep } from 'node:timers/promises';
import { FLEET_PREFIX, startFleet } from '../../helpers/fleet.js';
import { TOKEN } from '../../helpers/gateway.js';
import { startReplica, type Replica } from '../../helpers/replicas.js';
import { openDelayGate, type DelayGate } from './delay-gate.js';

export interface SlowMember {
  replica: Replica;
  gate: DelayGate;
  /** Its process runs and has been ready. */
  up: boolean;
  /** Kills it and puts a new process on the same port. */
  restart: () => Promise<void>;
}

/** Replicas as processes on one Redis of their own, each behind a gate that can delay what it says and hears. */
export async function startSlowFleet(env: Record<string, string> = {}, size = 3) {
  const base = await startFleet({ size: 0 });
  const stops: (() => Promise<void>)[] = [];
  const stop = async () => {
    for (const end of stops.splice(0).reverse()) await end();
    await base.stop();
  };
  const startMember = async (): Promise<SlowMember> => {
    const gate = await openDelayGate(base.redis.port);
    stops.push(gate.close);
    const settings = { REDIS_URL: `redis://127.0.0.1:${gate.port}`, REDIS_PREFIX: FLEET_PREFIX, API_TOKENS: TOKEN, LEASE_TTL_MIN_SECONDS: '1', LOG_LEVEL: 'warn', ...env };
    const member: SlowMember = {
      gate,
      replica: await startReplica({ env: settings }),
      up: true,
      restart: async () => {
        member.up = false;
        await member.replica.kill();
        member.replica = await startReplica({ env: settings, port: member.replica.port });
        member.up = true;
      },
    };
    stops.push(() => member.replica.kill());
    return member;
  };
  try {
    const members = await Promise.all(Array.from({ length: size }, startMember));
    return { raw: base.raw, keys: base.keys, members, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

export type SlowFleet = Awaited<ReturnType<typeof startSlowFleet>>;

export interface Faults {
  /** Ends them, waits for what is under way, and tells how many there were. */
  stop: () => Promise<number>;
}

/** Does this again and again, one at a time, beginning every so many ms. */
export function startFaults(everyMs: number, once: (n: number) => Promise<void>): Faults {
  const stopped = new AbortController();
  const run = async () => {
    for (let n = 0; ; n++) {
      const startedAt = performance.now();
      await sleep(everyMs / 4, undefined, { signal: stopped.signal }).catch(() => undefined); // the first one soon
      if (stopped.signal.aborted) return n;
      await once(n);
      const left = everyMs - (performance.now() - startedAt);
      await sleep(Math.max(0, left), undefined, { signal: stopped.signal }).catch(() => undefined);
    }
  };
  const running = run();
  running.catch(() => undefined); // whoever stops it is told
  return {
    stop: () => {
      stopped.abort();
      return running;
    },
  };
}

/** What the reader of one replica hears comes up to 100 ms late: positions that others gave are often ahead of it. */
export function lagBehind({ members }: SlowFleet) {
  members[0]?.gate.delay(({ role, to }) => (role === 'reader' && to === 'replica' ? Math.random() * 100 : 0));
}

/** SIGKILL to one replica after the other. */
export const startKiller = ({ members }: SlowFleet, everyMs: number): Faults =>
  startFaults(everyMs, (n) => (members[n % members.length] as SlowMember).restart());
