import { spawn, type ChildProcess } from 'node:child_process';
import { openSync, readFileSync } from 'node:fs';
import { getPriority, setPriority, tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { pino } from 'pino';
import type { CompleteRegistration } from '../src/registry/registry.js';
import { openStore } from '../src/redis/open-store.js';
import { RedisRegistrar } from '../src/redis/redis-registrar.js';
import { parseRedisUrl } from '../src/redis/connect/url.js';
import { freePort } from '../test/helpers/ports.js';
import { startRedis } from '../test/helpers/redis.js';
import { until } from '../test/helpers/until.js';

export const TOKEN = 'bench-token-of-this-run';
export const HEADERS = { 'X-API-Token': TOKEN, 'Content-Type': 'application/json' };

/** Commands have a second, and a busy machine needs more than that for a thousand of them. */
const FILLED_AT_ONCE = 200;

export interface Process {
  pid: number;
  port: number;
  url: string;
}

/** One that a rig started, and may be asked over its channel. */
export interface Started extends Process {
  child: ChildProcess;
}

/** For those who only call, as `nice` has it: they have machines of their own, so the gateway and Redis go first. */
export const LOW = 10;

/** A child has the priority of the process that began it; only root may raise one. */
function asOthers(pid: number) {
  try {
    if (getPriority() !== 0) setPriority(pid, 0);
  } catch {
    print('not root: the gateway that begins now has to share its machine with those who call');
  }
}

/** A Redis of its own, gateways with shipped defaults, and whatever else a bench starts; `close` ends them all. */
export async function startRig() {
  const children: ChildProcess[] = [];
  const redis = await startRedis();
  const raw = new Redis(redis.url);
  const log = openSync(join(tmpdir(), `rollcall-bench-${process.pid}.log`), 'w');

  const start = async (args: string[], port: number, path: string, env: Record<string, string> = {}): Promise<Started> => {
    const child = spawn('node', args, { env: { PATH: process.env.PATH, ...env }, stdio: ['ignore', log, 'inherit', 'ipc'] });
    children.push(child);
    asOthers(child.pid as number);
    const url = `http://127.0.0.1:${port}`;
    await until(async () => (await fetch(`${url}${path}`)).ok, 60_000);
    return { child, pid: child.pid as number, port, url };
  };
  return {
    raw,
    redisUrl: redis.url,
    startGateway: async (env: Record<string, string> = {}, nodeArgs: string[] = []) => {
      const port = env.PORT === undefined ? await freePort() : Number(env.PORT);
      return start([...nodeArgs, 'dist/server.js'], port, '/readyz', { NODE_ENV: 'production', HOST: '127.0.0.1', PORT: String(port), REDIS_URL: redis.url, API_TOKENS: TOKEN, ...env });
    },
    startBare: async () => {
      const port = await freePort();
      return start(['bench/bare.mjs', String(port)], port, '/');
    },
    close: async () => {
      for (const child of children) child.kill();
      raw.disconnect();
      await redis.stop();
    },
  };
}

/** Registers straight into Redis, as a Redis-direct client does: for filling a registry without a gateway's help. */
export async function openFiller(redisUrl: string, eventsMax = 50_000) {
  const log = pino({ level: 'silent' });
  const store = await openStore({ target: parseRedisUrl(redisUrl) }, { prefix: 'service:', eventsMax, plainLua: false }, log);
  const registry = new RedisRegistrar(store);
  const caller = { name: 'bench' };
  const fillEach = async (all: CompleteRegistration[]) => {
    for (let from = 0; from < all.length; from += FILLED_AT_ONCE) {
      const some = () => Promise.all(all.slice(from, from + FILLED_AT_ONCE).map((each) => registry.register(each, caller)));
      await until(() => some().then(() => true), 60_000, 100); // the same again, where a busy machine takes more than a second for it
    }
  };
  return {
    fillEach,
    /** `count` instances in groups of `perGroup`, `<stem>-<n>` in `<stem>-<n / perGroup>`. */
    fill: async (stem: string, count: number, perGroup: number, ttlSeconds = 3600) => {
      await fillEach(Array.from({ length: count }, (_, n) => ({ ...instance(stem, n, perGroup), ttlSeconds })));
    },
    close: () => store.connection.disconnect(),
  };
}

/** What a game server says of itself: about 600 bytes in an answer. */
export const instance = (stem: string, n: number, perGroup: number) => ({
  instanceId: `${stem}-${n}`,
  incarnation: 'life-1',
  type: 'game',
  group: `${stem}-${Math.floor(n / perGroup)}`,
  hostname: `game-${n}.${stem}.example.com`,
  publicIp: '203.0.113.7',
  privateIp: '10.0.4.17',
  ports: [{ port: 7777, name: 'game', protocol: 'udp' }],
  status: 'ready' as const,
  labels: { version: '1.4.2', zone: 'kr-1a' },
  performance: { tps: 59.9, latencyMs: 12, load: 0.4 },
});

/** Calls `act` this often, evenly, until stopped; what it rejects with is counted. */
export function pace(perSecond: number, act: (n: number) => Promise<unknown>) {
  let [sent, failed] = [0, 0];
  const startedAt = performance.now();
  const timer = setInterval(() => {
    const due = ((performance.now() - startedAt) / 1000) * perSecond;
    for (; sent < due; sent++) act(sent).catch(() => failed++);
  }, 5);
  return {
    stop: () => {
      clearInterval(timer);
      return { sent, failed };
    },
  };
}

export function percentile(values: number[], part: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? NaN;
}

export const median = (values: number[]) => percentile(values, 0.5);

export const rssMb = ({ pid }: Process) => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024;

export const print = (line: string) => process.stdout.write(`${line}\n`);
