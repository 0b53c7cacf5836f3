import { Cluster, Redis, type RedisOptions } from 'ioredis';
import type { Logger } from 'pino';
import { leaveWhenSilent } from './silence.js';
import type { Standing } from './standing.js';
import { describeTarget, type RedisTarget } from './url.js';

export type Connection = Redis | Cluster;
type Options = Omit<RedisOptions, 'replyMapping'>;

/**
 * `commands` answer a waiting caller and fail fast; the `reader` reads the log, and `news` blocks until it grows; both try again by
 * themselves. `jobs` block for work and wait for Redis as long as it takes.
 */
export type Role = 'commands' | 'reader' | 'news' | 'jobs';

export interface ConnectionConfig {
  target: RedisTarget;
  /** PEM of the authority that signed the server's certificate. */
  tlsCa?: string | undefined;
  /** Is told what all the connections of one process meet. */
  standing?: Standing;
}

const COMMAND_TIMEOUT_MS = 1000;
const CONNECT_TIMEOUT_MS = 2000;
/** Longer than the pulse's interval and than the longest BLOCK (alarm.ts). */
const READ_TIMEOUT_MS = 3000;
const MAX_RETRY_DELAY_MS = 300;
/** A Redis that reads its data says for how long, and is asked again after that, up to ten seconds; it is often wrong, and over much sooner. */
const LOADING_RETRY_MS = 300;
/** A primary that is a replica now is left at once, and then as often as this: it may be one for as long as its name stays where it is. */
const READONLY_RETRY_MS = 1000;
const LINE_EVERY_MS = 10_000;

const retryDelay = (attempt: number) => Math.min(50 * attempt, MAX_RETRY_DELAY_MS - 50) + Math.random() * 50;

function optionsFor(role: Role, { target, tlsCa, standing }: ConnectionConfig): Options {
  const failFast: Options = { maxRetriesPerRequest: 1, enableOfflineQueue: false };
  const forRole: Record<Role, Options> = {
    // What was already answered 503 must not be sent again behind the caller's back: seconds later it would revive what
    // was removed since, and remove what was registered.
    commands: { ...failFast, commandTimeout: COMMAND_TIMEOUT_MS, autoResendUnfulfilledCommands: false },
    // What is not sent again and was under way when the connection broke would otherwise never be settled.
    reader: { ...failFast, commandTimeout: READ_TIMEOUT_MS },
    news: { ...failFast, commandTimeout: READ_TIMEOUT_MS },
    jobs: { maxRetriesPerRequest: null },
  };
  return {
    ...forRole[role],
    connectionName: `rollcall-${role}`,
    lazyConnect: true,
    connectTimeout: CONNECT_TIMEOUT_MS,
    retryStrategy: retryDelay,
    maxLoadingRetryTime: LOADING_RETRY_MS,
    reconnectOnError: leaveReplicas(standing),
    ...(target.username && { username: target.username }),
    ...(target.password && { password: target.password }),
    ...(target.tls && { tls: tlsCa ? { ca: tlsCa } : {} }),
  };
}

/** A primary that became a replica under us, behind a name or a proxy that has moved on: come again, nothing is sent twice. */
function leaveReplicas(standing: Standing | undefined) {
  let leftAt = -Infinity;
  return (error: Error) => {
    if (!error.message.startsWith('READONLY')) return false;
    standing?.readOnly(error);
    if (performance.now() - leftAt < READONLY_RETRY_MS) return false;
    leftAt = performance.now();
    return true;
  };
}

/**
 * A connection for one role, not yet connected. It reconnects for ever within 300 ms a try; the defaults of ioredis would
 * hang a request for about 71 s. A lost connection is logged once, and once more when it is back; each role at most every 10 s.
 */
export function createConnection(role: Role, config: ConnectionConfig, log: Logger): Connection {
  const { target, standing } = config;
  const options = optionsFor(role, config);
  const connection = open(target, options);
  if (role !== 'jobs') leaveWhenSilent(connection); // those wait for work as long as it takes
  const about = { role, redis: describeTarget(target) };
  const state = { connected: false, before: false, told: false, toldAt: -Infinity }; // a start that fails is told by open-store.ts
  const tellLost = (err: Error) => {
    if (!state.connected) return;
    state.connected = false;
    state.told = performance.now() - state.toldAt >= LINE_EVERY_MS;
    if (!state.told) return;
    state.toldAt = performance.now();
    log.error({ ...about, err }, 'redis connection lost');
  };
  connection.on('error', (err: Error) => {
    standing?.lost(err);
    tellLost(err);
  });
  // A clean close is no error; of one that was left the reason is known.
  connection.on('reconnecting', () => {
    const err = standing?.readOnlyNow ?? Object.assign(new Error('closed by the other side'), { code: 'CLOSED' });
    standing?.closed(err);
    tellLost(err);
  });
  connection.on('ready', () => {
    if (state.before && state.told) log.info(about, 'redis connection back');
    state.before = state.connected = true;
    state.told = false;
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
  return inItsDatabase(new Redis({ ...options, ...node, db: target.db }));
}

/**
 * When Redis refuses SELECT, ioredis 6.0.0 tells an `error`, becomes ready all the same, and goes on in database 0, which may be
 * somebody else's registry. So such a connection is cut off before it is ready, this time and each time it comes back, and those
 * that BullMQ makes of it too. The refusal is passed on once the socket is closed, for until then the handshake would go on.
 */
function inItsDatabase(redis: Redis): Redis {
  const [select, duplicate] = [redis.select.bind(redis), redis.duplicate.bind(redis)];
  redis.select = ((db: number) =>
    select(db).catch((error: Error) => {
      const closed = new Promise((resolve) => redis.once('close', resolve));
      redis.stream.destroy();
      return closed.then(() => Promise.reject(error));
    }));
  redis.duplicate = (override) => inItsDatabase(duplicate(override));
  return redis;
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
