import { setTimeout as sleep } from 'node:timers/promises';
import type { FastifyInstance } from 'fastify';
import type { Logger } from 'pino';
import { buildApp } from './app.js';
import type { Config } from './config.js';
import { countChanges, createMetrics, type Metrics } from './http/metrics.js';
import { watchLag } from './http/pressure.js';
import { sseFrames } from './http/sse-frames.js';
import { TokenStore, tokensFromList } from './http/tokens.js';
import { startJobs } from './jobs/jobs.js';
import { runSweep, type SweepObserver } from './jobs/sweep.js';
import { createTcpProber } from './probes/tcp.js';
import { createConnection, type ConnectionConfig } from './redis/connection.js';
import { startEmbedded, type Embedded } from './redis/embedded.js';
import { jobsPrefix } from './redis/keys.js';
import { RedisMaintenance } from './redis/maintenance.js';
import { explain, openReaderConnection, openStore } from './redis/open-store.js';
import type { ReaderObserver } from './redis/reader-options.js';
import { Reader } from './redis/reader.js';
import { RedisRegistry } from './redis/redis-registry.js';
import { SessionSecret } from './redis/session-secret.js';
import type { Store } from './redis/store.js';
import { describeTarget } from './redis/url.js';
import { View } from './registry/view.js';
import { WatchHub } from './registry/watch-hub.js';
import { embeddedToken, welcome } from './welcome.js';

/** The balancer checks twice a second: after this long it sends nothing new here. */
const DRAIN_NOTICE_MS = 2000;
/** Requests under way get this long to finish, so that jobs and Redis are closed in time too. */
const FINISH_WITHIN_MS = 4000;
const PORTS_TO_TRY = 20;

/** Whatever opens something puts its closer here at once; shutting down walks the list backwards. */
export type Closers = (() => unknown)[];

interface Parts {
  config: Config;
  log: Logger;
  closers: Closers;
  metrics: Metrics;
  redis: ConnectionConfig;
  embedded: Embedded | undefined;
}

/** Wires and starts one replica: connections, app, jobs, and last of all the listener. */
export async function startReplica(config: Config, log: Logger, closers: Closers) {
  const embedded = config.redis ? undefined : await openEmbedded(log, closers);
  const redis = config.redis ?? { target: (embedded as Embedded).target };
  const parts: Parts = { config, log, closers, metrics: createMetrics(), redis, embedded };
  const store = await openRegistry(parts);
  const { view, reader } = await openView(parts, store);

  const minted = embedded && config.tokens.length === 0 && !config.tokensFile ? embeddedToken() : undefined;
  const tokens = new TokenStore(minted ? tokensFromList(minted) : config.tokens, config.tokensFile, log);
  closers.push(() => tokens.close());
  const sessions = new SessionSecret(store, log);
  sessions.start();
  closers.push(() => sessions.stop());

  const lag = watchLag();
  closers.push(() => lag.close());
  const state = { draining: false };
  const app = await buildApp({
    ...config,
    registry: new RedisRegistry(store, view),
    view,
    tokens,
    sessionSecret: () => sessions.current,
    prober: createTcpProber(config.healthCheckCidrs),
    metrics: parts.metrics,
    log,
    draining: () => state.draining,
    lagMs: lag.lagMs,
    storeReachable: () => reader.fresh && store.connection.status === 'ready',
  });
  startSweeping(parts, store, view, reader);
  closers.push(() => closeApp(app));
  closers.push(async () => {
    state.draining = true;
    if (!embedded) await sleep(DRAIN_NOTICE_MS);
  });

  const url = await listen(app, config);
  log.info({ url, redis: describeTarget(redis.target), engine: embedded?.engine ?? 'external' }, 'started');
  if (embedded) process.stdout.write(welcome(url, minted, embedded.engine, embedded.target.nodes[0]?.port ?? 0));
}

async function openEmbedded(log: Logger, closers: Closers): Promise<Embedded> {
  const embedded = await startEmbedded();
  let closing = false;
  closers.push(() => {
    closing = true;
    return embedded.close();
  });
  void embedded.ended.then(() => {
    if (closing) return;
    log.fatal({ engine: embedded.engine }, 'the embedded engine ended, and the registry with it: stopping; start the gateway again');
    process.kill(process.pid, 'SIGTERM');
  });
  if (embedded.engine === 'js-redis-server') {
    log.warn('no redis-server on the PATH: using the pure-JS engine, in memory, for one process, not for production; set REDIS_URL or install redis-server');
  }
  return embedded;
}

async function openRegistry({ config, log, closers, metrics, redis, embedded }: Parts) {
  const observe = (seconds: number, failed: boolean) => {
    metrics.transactions.observe(seconds);
    if (failed) metrics.transactionErrors.inc();
  };
  const { redisPrefix: prefix, eventsMax } = config;
  const store = await openStore(redis, { prefix, eventsMax, plainLua: embedded?.plainLua ?? false, observe }, log);
  closers.push(() => store.connection.disconnect());
  return store;
}

/** Starts reading the registry into memory. It is not waited for: `readyz` says when it is done. */
async function openView({ config, log, closers, metrics, redis, embedded }: Parts, store: Store) {
  const hub = new WatchHub(sseFrames, { ended: (reason) => metrics.watchersEnded.labels(reason).inc() });
  const view = new View({ hub, maxStaleMs: config.maxStaleSeconds * 1000 });
  const connection = await openReaderConnection(redis, log);
  closers.push(() => connection.disconnect());
  const waiting = await openReaderConnection(redis, log);
  closers.push(() => waiting.disconnect());
  const changed = countChanges(metrics);
  const observer: ReaderObserver = {
    reachable: (reachable) => metrics.redisReachable.set(reachable ? 1 : 0),
    applied: ({ kind }) => changed(kind ?? 'unknown'),
    loaded: (reason) => metrics.reloads.labels(reason).inc(),
    recovered: () => metrics.recoveries.inc(),
  };
  const options = { offlineMs: config.offlineSeconds * 1000, ownStore: embedded !== undefined, observer };
  const reader = new Reader({ ...store, connection }, waiting, view, options, log);
  await reader.start().catch((error: Error) => {
    throw new Error(explain(error, describeTarget(redis.target)), { cause: error });
  });
  closers.push(() => reader.stop());
  return { view, reader };
}

function startSweeping({ config, log, closers, metrics, redis }: Parts, store: Store, view: View, reader: Reader) {
  const maintenance = new RedisMaintenance(store, config.lease, log, () => view.position);
  const observer = sweepObserver(metrics);
  const jobs = startJobs({
    connection: createConnection('jobs', redis, log),
    prefix: jobsPrefix(config.redisPrefix),
    everyMs: config.sweepIntervalMs,
    tick: () => runSweep(maintenance, config.reconcileIntervalMs, observer, log),
    tickedAgoMs: () => reader.sweptAgoMs,
    log,
  });
  closers.push(() => jobs.close());
}

function sweepObserver(metrics: Metrics): SweepObserver {
  return {
    swept: ({ evicted, rescored, seconds }) => {
      metrics.sweeps.labels('done').inc();
      metrics.sweepSeconds.observe(seconds);
      metrics.lastSweep.setToCurrentTime();
      metrics.evictions.inc(evicted);
      metrics.rescored.inc(rescored);
    },
    failed: () => metrics.sweeps.labels('failed').inc(),
    reconciled: ({ removed, adopted }) => {
      metrics.reconciled.labels('removed').inc(removed);
      metrics.reconciled.labels('adopted').inc(adopted);
    },
  };
}

/**
 * Waits for requests under way. One that began before the drain leaves its keep-alive socket open, which nobody would close
 * again: so idle sockets are looked for until all are gone. Whoever does not finish is cut off in time.
 */
async function closeApp(app: FastifyInstance) {
  const idle = setInterval(() => app.server.closeIdleConnections(), 100);
  const late = setTimeout(() => app.server.closeAllConnections(), FINISH_WITHIN_MS);
  try {
    await app.close();
  } finally {
    clearInterval(idle);
    clearTimeout(late);
  }
}

/** Listens; the embedded mode takes the next free port when the default is taken. */
async function listen(app: FastifyInstance, { host, port, portFixed }: Config): Promise<string> {
  for (let tried = port; ; tried++) {
    try {
      return await app.listen({ host, port: tried });
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === 'EADDRINUSE' && !portFixed && tried < port + PORTS_TO_TRY) {
        process.stderr.write(`port ${tried} is taken, trying ${tried + 1}\n`);
        continue;
      }
      if (code === 'EADDRINUSE') throw new Error(`port ${tried} of ${host} is in use: stop what listens there, or set PORT`, { cause: error });
      if (code === 'EACCES' || code === 'EADDRNOTAVAIL' || code === 'ENOTFOUND') throw new Error(`cannot listen on ${host}:${tried} (${code}): set HOST and PORT`, { cause: error });
      throw error;
    }
  }
}
