import { rmSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { until } from '../../../test/helpers/until.js';
import { makeBed, type Bed, type Member } from '../bed.js';
import { openClocks, type Clock } from '../clocks.js';
import type { History } from './history.js';
import type { Strike } from './plan.js';
import { openWay, type Way } from './way.js';

/** Connections are back within 300 ms a try, and a command has its second. */
const BACK_MS = 1500;

export interface Ground {
  bed: Bed;
  clocks: boolean;
  /** Does it, and what undoes it; resolves when all is well again. */
  strike: (strike: Strike) => Promise<void>;
  /** Nothing is being done to this replica, nor to Redis, and what it was told while something was is settled. */
  calm: (replica: number) => boolean;
  close: () => Promise<void>;
}

/** Three replicas, each with its own way to Redis and its own clock, and a Redis that keeps what it is told. */
export async function makeGround(history: History, env: Record<string, string>): Promise<Ground> {
  const clocks = openClocks();
  const redisClock = clocks?.make('redis');
  const [ways, gatewayClocks]: [Way[], (Clock | undefined)[]] = [[], [0, 1, 2].map((n) => clocks?.make(`gateway-${n}`))];
  const bed = await makeBed({
    env,
    envOf: (n) => gatewayClocks[n]?.env ?? {},
    redisArgs: ['--appendonly', 'yes', '--appendfsync', 'everysec', '--enable-debug-command', 'yes'],
    redisEnv: redisClock?.env ?? {},
    openWay: async (port, n) => (ways[n] = await openWay(port)),
  });
  const troubled = new Map<number | 'redis', number>();
  const [, dir] = (await bed.raw.config('GET', 'dir')) as [string, string];

  const strike = async (strike: Strike) => {
    const from = Date.now();
    const whom = strike.replica ?? 'redis';
    troubled.set(whom, Infinity);
    const { kind, value, replica } = strike;
    const back = replica === undefined
      ? await onRedis({ bed, dir, clock: redisClock }, strike)
      : await onReplica({ member: bed.members[replica] as Member, way: ways[replica] as Way, clock: gatewayClocks[replica] }, strike);
    const to = back ?? Date.now();
    troubled.set(whom, Date.now() + BACK_MS);
    history.add({ t: 'fault', kind, from, to, ...(replica !== undefined && { replica }), ...(value !== undefined && { value }) });
  };
  return {
    bed,
    clocks: clocks !== undefined,
    strike,
    calm: (replica) => Math.max(troubled.get(replica) ?? 0, troubled.get('redis') ?? 0) < Date.now(),
    close: async () => {
      await bed.stop();
      clocks?.close();
    },
  };
}

async function onReplica({ member, way, clock }: { member: Member; way: Way; clock: Clock | undefined }, { kind, ms, value = 0 }: Strike) {
  if (kind === 'kill') {
    await member.kill();
    await sleep(ms);
    while (!(await member.start().then(() => true, () => false))) await sleep(200); // as whatever supervises it does
    return;
  }
  if (kind === 'stop') member.signal('SIGSTOP');
  else if (kind === 'cut') way.cut();
  else if (kind === 'dark') way.darken();
  else if (kind === 'delay') way.delay(value);
  else if (kind === 'swallow') way.swallow();
  else if (kind === 'clock') clock?.set(value);
  await sleep(ms);
  if (kind === 'stop') member.signal('SIGCONT');
  else if (kind === 'clock') clock?.set(0);
  else way.mend();
}

/** Resolves when our own connection has its answers again. To when Redis had its callers again, where that was earlier: an outage is over then. */
async function onRedis({ bed: { redis, raw }, dir, clock }: { bed: Bed; dir: string; clock: Clock | undefined }, { kind, ms, value = 0 }: Strike): Promise<number | void> {
  const answers = async (back = Date.now()) => {
    await until(async () => (await raw.ping()) === 'PONG', 15_000, 5);
    return back;
  };
  if (kind === 'restart' || kind === 'empty') {
    await redis.kill();
    if (kind === 'empty') for (const name of readdirSync(dir)) rmSync(join(dir, name), { recursive: true, force: true });
    await sleep(ms);
    await redis.restart();
    return answers();
  }
  if (kind === 'freeze') {
    redis.signal('SIGSTOP');
    await sleep(ms);
    redis.signal('SIGCONT');
    return answers();
  }
  if (kind === 'pause') {
    await raw.call('CLIENT', 'PAUSE', String(ms), 'ALL');
    await sleep(ms);
    return answers();
  }
  if (kind === 'flush') await raw.flushall();
  else if (kind === 'scripts') await raw.script('FLUSH');
  else if (kind === 'clients') await raw.call('CLIENT', 'KILL', 'TYPE', 'normal');
  else if (kind === 'redisClock') {
    clock?.set(value);
    await sleep(ms);
    clock?.set(0);
  }
}
