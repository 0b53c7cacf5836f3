import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { TOKEN } from './gateway.js';
import { freePort } from './ports.js';
import { startRedis, type TestRedis } from './redis.js';
import { startReplica, type Replica } from './replicas.js';
import { until } from './until.js';

const NAME = 'main';
const NODES = 3;
const SENTINELS = 3;
/** Without it a first synchronization waits 5 s for more replicas to come. */
const NODE_ARGS = ['--repl-diskless-sync-delay', '0', '--repl-ping-replica-period', '1'];

export interface SentinelSetup {
  downAfterMs?: number;
  /** Options of each of the three nodes, such as `--min-replicas-to-write 1`. */
  nodeArgs?: string[];
  /** Gateway replicas as processes. */
  replicas?: number;
  env?: Record<string, string>;
}

interface Sentinel {
  port: number;
  raw: Redis;
  stop: () => Promise<void>;
}

async function startSentinel(primaryPort: number, downAfterMs: number): Promise<Sentinel> {
  const port = await freePort();
  const dir = mkdtempSync(join(tmpdir(), 'rollcall-test-sentinel-'));
  const file = join(dir, 'sentinel.conf');
  const lines = [
    `port ${port}`,
    'bind 127.0.0.1',
    `dir ${dir}`,
    `sentinel monitor ${NAME} 127.0.0.1 ${primaryPort} 2`,
    `sentinel down-after-milliseconds ${NAME} ${downAfterMs}`,
    `sentinel failover-timeout ${NAME} 6000`,
    `sentinel parallel-syncs ${NAME} 2`,
  ];
  writeFileSync(file, `${lines.join('\n')}\n`);
  const child = spawn('redis-server', [file, '--sentinel'], { stdio: 'ignore', env: { ...process.env, LC_ALL: 'C' } });
  const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  const raw = connected(port);
  const stop = async () => {
    raw.disconnect();
    child.kill('SIGKILL');
    await exited;
    rmSync(dir, { recursive: true, force: true });
  };
  return { port, raw, stop };
}

function connected(port: number): Redis {
  const raw = new Redis({ host: '127.0.0.1', port, retryStrategy: () => 50, commandTimeout: 1000 });
  raw.on('error', () => undefined); // a node that is down is what these tests are about
  return raw;
}

/** Fields of a reply that lists name, value, … */
const fieldsOf = (flat: unknown) => {
  const list = flat as string[];
  return Object.fromEntries(list.flatMap((name, i) => (i % 2 === 0 ? [[name, list[i + 1] ?? '']] : [])));
};

/** Knows the whole deployment, and may therefore fail over at once when it has to. */
async function knowsAll({ raw }: Sentinel): Promise<boolean> {
  const about = fieldsOf(await raw.call('SENTINEL', 'MASTER', NAME));
  if (about.flags !== 'master' || about['num-slaves'] !== String(NODES - 1) || about['num-other-sentinels'] !== String(SENTINELS - 1)) return false;
  const replicas = (await raw.call('SENTINEL', 'REPLICAS', NAME)) as unknown[];
  return replicas.map(fieldsOf).every((replica) => replica.flags === 'slave' && replica['master-link-status'] === 'ok');
}

/** One primary, two replicas, three Sentinels, and gateway replicas that find their Redis through these. */
export async function startSentinelFleet({ downAfterMs = 1500, nodeArgs = [], replicas = 3, env = {} }: SentinelSetup = {}) {
  const stops: (() => unknown)[] = [];
  const stop = async () => {
    for (const end of stops.splice(0).reverse()) await end();
  };
  const keep = <T>(thing: T, end: () => unknown): T => {
    stops.push(end);
    return thing;
  };
  try {
    const startNode = async (args: string[]) => {
      const redis = await startRedis([...NODE_ARGS, ...nodeArgs, ...args]);
      return keep(redis, redis.stop);
    };
    const first = await startNode([]);
    const followers = await Promise.all(Array.from({ length: NODES - 1 }, () => startNode(['--replicaof', `127.0.0.1 ${first.port}`])));
    const nodes: TestRedis[] = [first, ...followers];
    const raws = new Map(nodes.map(({ port }) => {
      const raw = connected(port);
      return [port, keep(raw, () => raw.disconnect())] as const;
    }));
    // Sentinels that find the replicas in place know them at once, otherwise ten seconds later.
    await until(async () => (await raws.get(first.port)?.info('replication'))?.includes(`connected_slaves:${NODES - 1}`));
    const sentinels = await Promise.all(Array.from({ length: SENTINELS }, () => startSentinel(first.port, downAfterMs)));
    for (const sentinel of sentinels) stops.push(sentinel.stop);
    await until(async () => (await Promise.all(sentinels.map(knowsAll))).every(Boolean), 20_000);

    const url = `redis+sentinel://${sentinels.map(({ port }) => `127.0.0.1:${port}`).join(',')}/${NAME}`;
    const settings = { REDIS_URL: url, API_TOKENS: TOKEN, LEASE_TTL_MIN_SECONDS: '1', LOG_LEVEL: 'warn', ...env };
    const members: Replica[] = await Promise.all(Array.from({ length: replicas }, async () => {
      const replica = await startReplica({ env: settings });
      return keep(replica, replica.kill);
    }));
    return { ...controls(nodes, raws, sentinels), url, nodes, members, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

export type SentinelFleet = Awaited<ReturnType<typeof startSentinelFleet>>;

function controls(nodes: TestRedis[], raws: Map<number, Redis>, sentinels: Sentinel[]) {
  const nodeAt = (port: number): TestRedis => {
    const node = nodes.find((one) => one.port === port);
    if (!node) throw new Error(`no node on port ${port}`);
    return node;
  };
  /** The primary as each Sentinel names it; undefined while they do not agree. */
  const primary = async (): Promise<TestRedis | undefined> => {
    const named = await Promise.all(sentinels.map(async ({ raw }) => ((await raw.call('SENTINEL', 'GET-MASTER-ADDR-BY-NAME', NAME)) as string[])[1]));
    return new Set(named).size === 1 ? nodeAt(Number(named[0])) : undefined;
  };
  const rawOf = ({ port }: TestRedis) => raws.get(port) as Redis;
  return {
    rawOf,
    primary,
    /** Another node than this is the primary in the eyes of all Sentinels, and says so itself. */
    otherPrimary: (than: TestRedis, withinMs = 20_000): Promise<TestRedis> => until(async () => {
      const now = await primary();
      if (!now || now.port === than.port) return undefined;
      return (await rawOf(now).info('replication')).includes('role:master') ? now : undefined;
    }, withinMs),
    /** A failover that somebody asked for: nothing is down. */
    failOver: async () => void (await (sentinels[0] as Sentinel).raw.call('SENTINEL', 'FAILOVER', NAME)),
    /** This node takes no writes any more, because it follows another. */
    demoted: (node: TestRedis, withinMs = 25_000) => until(async () => (await rawOf(node).info('replication')).includes('role:slave'), withinMs),
  };
}
