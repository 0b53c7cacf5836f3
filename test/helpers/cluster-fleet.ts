import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { Redis } from 'ioredis';
import { TOKEN } from './gateway.js';
import { freePort } from './ports.js';
import { startRedis, type TestRedis } from './redis.js';
import { startReplica, type Replica } from './replicas.js';
import { until } from './until.js';

const NODES = 6;
export const CLUSTER_PREFIX = '{service}:';

export interface ClusterSetup {
  nodeTimeoutMs?: number;
  /** Gateway replicas as processes. */
  replicas?: number;
  env?: Record<string, string>;
}

interface Node extends TestRedis {
  raw: Redis;
  bus: number;
}

async function startNode(nodeTimeoutMs: number): Promise<Node> {
  const bus = await freePort();
  const redis = await startRedis([
    '--cluster-enabled', 'yes', '--cluster-port', String(bus), '--cluster-announce-ip', '127.0.0.1',
    '--cluster-node-timeout', String(nodeTimeoutMs), '--repl-diskless-sync-delay', '0', '--repl-ping-replica-period', '1',
  ]);
  const raw = new Redis({ host: '127.0.0.1', port: redis.port, retryStrategy: () => 50, commandTimeout: 1000 });
  raw.on('error', () => undefined); // a node that is down is what these tests are about
  const stop = async () => {
    raw.disconnect();
    await redis.stop();
  };
  return Object.assign(Object.create(redis) as TestRedis, { raw, bus, stop });
}

const isWhole = async ({ raw }: Node) => {
  const info = String(await raw.call('CLUSTER', 'INFO'));
  return info.includes('cluster_state:ok') && info.includes(`cluster_known_nodes:${NODES}`);
};
const isSynced = async ({ raw }: Node) => /role:master|master_link_status:up/.test(await raw.info('replication'));

/** Three primaries with a replica each, and gateway replicas on them. All keys of a registry share one slot, so one primary has them all. */
export async function startClusterFleet({ nodeTimeoutMs = 1500, replicas = 3, env = {} }: ClusterSetup = {}) {
  const stops: (() => unknown)[] = [];
  const stop = async () => {
    for (const end of stops.splice(0).reverse()) await end();
  };
  try {
    const nodes = await Promise.all(Array.from({ length: NODES }, async () => {
      const node = await startNode(nodeTimeoutMs);
      stops.push(node.stop);
      return node;
    }));
    const places = nodes.map(({ port, bus }) => `127.0.0.1:${port}@${bus}`);
    await promisify(execFile)('redis-cli', ['--cluster', 'create', ...places, '--cluster-replicas', '1', '--cluster-yes'], { timeout: 30_000 });
    await until(async () => (await Promise.all(nodes.flatMap((node) => [isWhole(node), isSynced(node)]))).every(Boolean), 20_000);

    const url = `redis+cluster://${nodes.map(({ port }) => `127.0.0.1:${port}`).join(',')}`;
    const settings = { REDIS_URL: url, API_TOKENS: TOKEN, LEASE_TTL_MIN_SECONDS: '1', LOG_LEVEL: 'warn', ...env };
    const members: Replica[] = await Promise.all(Array.from({ length: replicas }, async () => {
      const replica = await startReplica({ env: settings });
      stops.push(replica.kill);
      return replica;
    }));
    return { ...controls(nodes), url, nodes, members, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

export type ClusterFleet = Awaited<ReturnType<typeof startClusterFleet>>;

/** A line of CLUSTER NODES: id, address, flags, primary's id, …, slots. */
interface Line {
  id: string;
  port: number;
  flags: string[];
  primaryId: string;
  slots: string[];
}

const linesOf = (text: string): Line[] =>
  text.trim().split('\n').map((line) => {
    const [id = '', address = '', flags = '', primaryId = '', , , , , ...slots] = line.split(' ');
    return { id, port: Number(/:(\d+)@/.exec(address)?.[1]), flags: flags.split(','), primaryId, slots };
  });

function controls(nodes: Node[]) {
  const alive = new Set(nodes);
  const nodeAt = (port: number) => nodes.find((node) => node.port === port) as Node;
  const look = async (by: Node) => linesOf(String(await by.raw.call('CLUSTER', 'NODES')));
  /** Who has the registry's slot, in the eyes of all nodes that run; undefined while they do not agree. */
  const primary = async (): Promise<Node | undefined> => {
    const views = await Promise.all([...alive].map(async (node) => {
      const slot = Number(await node.raw.call('CLUSTER', 'KEYSLOT', CLUSTER_PREFIX));
      const holds = ({ flags, slots }: Line) => flags.includes('master') && !flags.some((flag) => flag.startsWith('fail')) && slots.some((range) => {
        const [from = -1, to = from] = range.split('-').map(Number);
        return from <= slot && slot <= to;
      });
      return (await look(node)).find(holds)?.port;
    }));
    const [port] = views;
    return port !== undefined && new Set(views).size === 1 ? nodeAt(port) : undefined;
  };
  return {
    primary,
    /** The replicas of this node that run. */
    replicasOf: async (node: Node): Promise<Node[]> => {
      const lines = await look(node);
      const own = lines.find(({ flags }) => flags.includes('myself'))?.id;
      return lines.filter(({ primaryId }) => primaryId === own).map(({ port }) => nodeAt(port)).filter((one) => alive.has(one));
    },
    otherPrimary: (than: Node, withinMs = 20_000): Promise<Node> => until(async () => {
      const now = await primary();
      return now && now.port !== than.port && /role:master/.test(await now.raw.info('replication')) ? now : undefined;
    }, withinMs),
    /** A failover that somebody asked for, by the replica that shall be the primary. */
    failOver: async (replica: Node) => void (await replica.raw.call('CLUSTER', 'FAILOVER')),
    kill: async (node: Node) => {
      alive.delete(node);
      await node.kill();
    },
    restart: async (node: Node) => {
      await node.restart();
      alive.add(node);
    },
  };
}
