import { Cluster, Redis, type RedisOptions } from 'ioredis';
import type { Logger } from 'pino';
import type { RedisTarget } from './url.js';

export type Connection = Redis | Cluster;
type Options = Omit<RedisOptions, 'replyMapping'>;

/**
 * `commands` answer a waiting caller and fail fast; the `reader` of the log blocks for a moment and tries again by itself;
 * `jobs` block for work and wait for Redis as long as it takes.
 */
export type Role = 'commands' | 'reader' | 'jobs';

export interface ConnectionConfig {
  target: RedisTarget;
  /** PEM of the authority that signed the server's certificate. */
  tlsCa?: string | undefined;
}

const COMMAND_TIMEOUT_MS = 1000;
const CONNECT_TIMEOUT_MS = 2000;
/** Longer than the pulse's interval several times over: a socket this silent is half-open. */
const SILENT_SOCKET_MS = 3000;
const MAX_RETRY_DELAY_MS = 300;

const retryDelay = (attempt: number) => Math.min(50 * attempt, MAX_RETRY_DELAY_MS - 50) + Math.random() * 50;

function optionsFor(role: Role, { target, tlsCa }: ConnectionConfig): Options {
  const failFast: Options = { maxRetriesPerRequest: 1, enableOfflineQueue: false, socketTimeout: SILENT_SOCKET_MS };
  const forRole: Record<Role, Options> = {
    // What was already answered 503 must not be sent again behind the caller's back: seconds later it would revive what
    // was removed since, and remove what was registered.
    commands: { ...failFast, commandTimeout: COMMAND_TIMEOUT_MS, autoResendUnfulfilledCommands: false },
    // What is not sent again and was under way when the connection broke would otherwise never be settled.
    reader: { ...failFast, commandTimeout: SILENT_SOCKET_MS },
    jobs: { maxRetriesPerRequest: null },
  };
  return {
    ...forRole[role],
    connectionName: `rollcall-${role}`,
    lazyConnect: true,
    connectTimeout: CONNECT_TIMEOUT_MS,
    retryStrategy: retryDelay,
    // A primary that became a replica under us, behind a name or a proxy that has moved on: come again, nothing is sent twice.
    reconnectOnError: (error) => error.message.startsWith('READONLY'),
    ...(target.username && { username: target.username }),
    ...(target.password && { password: target.password }),
    ...(target.tls && { tls: tlsCa ? { ca: tlsCa } : {} }),
  };
}

/**
 * A connection for one role, not yet connected. It reconnects for ever within 300 ms a try; the defaults of ioredis would
 * hang a request for about 71 s. A lost connection is logged once, and once more when it is back.
 */
export function createConnection(role: Role, config: ConnectionConfig, log: Logger): Connection {
  const { target } = config;
  const options = optionsFor(role, config);
  const connection = open(target, options);
  let connected = false; // a start that fails is told by open-store.ts
  const onLost = (message: string) => {
    if (connected) log.error({ error: message, role }, 'redis connection lost');
    connected = false;
  };
  connection.on('error', (error: Error) => onLost(error.message));
  connection.on('reconnecting', () => onLost('closed by the other side')); // a clean close is no error
  let before = false;
  connection.on('ready', () => {
    if (before) log.info({ role }, 'redis connection back');
    before = connected = true;
  });
  return connection;
}

function open(target: RedisTarget, options: Options): Connection {
  if (target.kind === 'cluster') {
    const { enableOfflineQueue: _, retryStrategy, lazyConnect, ...redisOptions } = options;
    return new Cluster(target.nodes, {
      // As long as a command is waited for: one that nobody waits for any more must not be sent when a node is reached at last.
      redisOptions: { ...redisOptions, ...(options.commandTimeout && { connectTimeout: Math.min(CONNECT_TIMEOUT_MS, options.commandTimeout) }) },
      // Without this queue ioredis 6.0.0 may refuse some commands of a pipeline and hold others for sent while the slot has no
      // node: from then on every reply on that connection is given to the command after its own.
      enableOfflineQueue: true,
      // Six tries at most: 0.6 s.
      maxRedirections: 6,
      retryDelayOnFailover: 100,
      retryDelayOnClusterDown: 100,
      lazyConnect: lazyConnect ?? true,
      clusterRetryStrategy: (attempt) => retryStrategy?.(attempt) ?? null,
      ...(target.tls && { dnsLookup: (address, callback) => callback(null, address) }),
    });
  }
  if (target.kind === 'sentinel') {
    return neverEnding({
      ...options,
      sentinels: target.nodes,
      name: target.name,
      failoverDetector: true,
      sentinelRetryStrategy: retryDelay,
      ...(target.tls && { enableTLSForSentinelMode: true, sentinelTLS: options.tls ?? {} }),
    });
  }
  const node = target.nodes[0] as { host: string; port: number };
  return new Redis({ ...options, ...node, db: target.db });
}

/**
 * A failover that a Sentinel announces while ioredis asks for the primary ends its connection for good: the detector tells the
 * connector to disconnect, and what was being connected then counts as closed by its owner (ioredis 6.0.0). So it is begun again.
 */
function neverEnding(options: RedisOptions): Redis {
  const redis = new Redis(options as Options);
  let closed = false;
  const disconnect = redis.disconnect.bind(redis);
  redis.disconnect = (reconnect = false) => {
    closed ||= !reconnect;
    disconnect(reconnect);
  };
  redis.on('end', () => {
    setTimeout(() => void (closed || redis.connect().catch(() => undefined)), retryDelay(1));
  });
  return redis;
}
