import { setTimeout as sleep } from 'node:timers/promises';
import type { FastifyInstance } from 'fastify';
import type { Logger } from 'pino';
import { buildApp } from './app.js';
import type { Config } from './config.js';
import { createMetrics, type Metrics } from './http/metrics/metrics.js';
import { watchLag } from './http/requests/pressure.js';
import { sseFrames } from './http/replies/sse-frames.js';
import { TokenStore, tokensFromList } from './http/auth/tokens.js';
import { startJobs } from './jobs/jobs.js';
import { runSweep } from './jobs/sweep.js';
import { createTcpProber } from './probes/tcp.js';
import { createConnection, type ConnectionConfig } from './redis/connect/connection.js';
import { startEmbedded, type Embedded } from './redis/connect/embedded.js';
import { LookBack } from './redis/log/history.js';
import { jobsPrefix } from './redis/scripts/keys.js';
import { RedisLocks } from './redis/locks/redis-locks.js';
import { RedisMaintenance } from './redis/upkeep/maintenance.js';
import { connectStore, createStore, opened, type Patience } from './redis/open-store.js';
import { Reader } from './redis/follow/reader.js';
import { serve } from './redis/serve.js';
import { SessionSecret } from './redis/session-secret.js';
import { Standing } from './redis/connect/standing.js';
import type { Store } from './redis/scripts/store.js';
import { describeTarget } from './redis/connect/url.js';
import { View } from './registry/view/view.js';
import { WatchHub } from './registry/watch/hub.js';
import { boundHeap } from './heap.js';
import { listen } from './listen.js';
import { notifySystemd } from './notify.js';
import { readerObserver, sweepObserver } from './observers.js';
import { version } from './http/version.js';
import { waitingLines } from './waiting-lines.js';
import { embeddedToken, runningBeside, welcome } from './welcome.js';

/** The balancer checks twice a second: after this long it sends nothing new here. */
const DRAIN_NOTICE_MS = 2000;
/** Requests under way get this long to finish, so that jobs and Redis are closed in time too. */
const FINISH_WITHIN_MS = 4000;

/** Whatever opens something puts its closer here at once; shutting down walks the list backwards. */
export type Closers = (() => unknown)[];

interface Parts {
  config: Config;
  log: Logger;
  closers: Closers;
  metrics: Metrics;
  redis: ConnectionConfig;
  standing: Standing;
  embedded: Embedded | undefined;
}

/**
 * Wires and starts one replica: app, listener, and then Redis and the jobs. It listens before it has Redis, so that who asks is told
 * that it is not ready, and waits for an external one as long as it takes. @throws {Error} for what waiting cannot mend.
 */
export async function startReplica(config: Config, log: Logger, closers: Closers) {
  const chosen = config.redis ?? (await openEmbedded(log, closers));
  const { target } = chosen;
  const embedded = 'engine' in chosen ? chosen : undefined;
  const standing = new Standing(describeTarget(target), log);
  const parts: Parts = { config, log, closers, metrics: createMetrics(), redis: { target, tlsCa: config.redis?.tlsCa, standing }, standing, embedded };
  const store = createRegistryStore(parts);
  const followed = createView(parts, store);
  const { view, reader, loaded } = followed;

  const minted = embedded && config.tokens.length === 0 && !config.tokensFile ? embeddedToken() : undefined;
  const tokens = new TokenStore(minted ? tokensFromList(minted) : config.tokens, config.tokensFile, log);
  closers.push(() => tokens.close());
  const sessions = new SessionSecret(store, log);
  closers.push(() => sessions.stop());

  const lag = watchLag();
  closers.push(() => lag.close());
  const state: { draining: boolean; waitsFor?: string | undefined } = { draining: false };
  const app = await buildApp({
    ...config,
    registry: serve(store, view, createPast(parts, store)),
    locks: createLocks(parts, store),
    view,
    tokens,
    sessionSecret: () => sessions.current,
    prober: createTcpProber(config.healthCheckCidrs),
    metrics: parts.metrics,
    log,
    draining: () => state.draining,
    waitsFor: () => state.waitsFor,
    lagMs: lag.lagMs,
    storeReachable: () => reader.last.fresh && store.connection.status === 'ready',
  });
  closers.push(() => closeApp(app));
  closers.push(async () => {
    state.draining = true;
    notifySystemd('STOPPING=1', config, log);
    if (!embedded && view.loaded) await sleep(DRAIN_NOTICE_MS);
  });

  const url = await listen(app, config);
  await connect(parts, store, followed, (reason) => (state.waitsFor = reason));
  sessions.start();
  startSweeping(parts, store, view, reader);
  const about = { version, url, host: config.host, redis: describeTarget(target), database: target.db, prefix: config.redisPrefix, engine: embedded?.engine ?? 'external' };
  log.info({ ...about, node: process.versions.node }, 'started');
  if (!embedded) return;
  await loaded; // what it says to paste works from then on
  process.stdout.write(welcome(url, config.host, minted, embedded.engine, target.nodes[0]?.port ?? 0, await runningBeside(url)));
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

function createRegistryStore({ config, log, closers, metrics, redis, embedded }: Parts) {
  const observe = (seconds: number, failed: boolean) => {
    metrics.transactions.observe(seconds);
    if (failed) metrics.transactionErrors.inc();
  };
  const { redisPrefix: prefix, eventsMax } = config;
  const store = createStore(redis, { prefix, eventsMax, plainLua: embedded?.plainLua ?? false, observe }, log);
  closers.push(() => store.connection.disconnect());
  return store;
}

/** The registry in memory, and what will feed it once Redis is there. */
function createView({ config, log, closers, metrics, redis, standing, embedded }: Parts, store: Store) {
  const hub = new WatchHub(sseFrames, { ended: (reason) => metrics.watchersEnded.labels(reason).inc() });
  const view = new View({ hub, maxStaleMs: config.maxStaleSeconds * 1000, comeBackMs: config.lease.defaultSeconds * 1000 });
  const [connection, news] = [createConnection('reader', redis, log), createConnection('news', redis, log)];
  let isLoaded = () => undefined as void;
  const loaded = new Promise<void>((resolve) => (isLoaded = resolve));
  void loaded.then(() => {
    notifySystemd('READY=1', config, log);
    boundHeap();
  });
  const observer = readerObserver(metrics, standing, log, isLoaded);
  const options = { offlineMs: config.offlineSeconds * 1000, ownStore: embedded !== undefined, observer };
  const reader = new Reader({ ...store, connection }, news, view, options, log);
  closers.push(() => reader.stop()); // closes both
  return { view, reader, connection, news, loaded };
}

/** Connects everything, and begins to read the registry into memory. That is not waited for: `readyz` says when it is done. */
async function connect({ redis, log, embedded, standing, closers }: Parts, store: Store, { view, reader, connection, news }: ReturnType<typeof createView>, tell: (reason?: string) => void) {
  const patience: Patience = embedded ? {} : { withinMs: Infinity, waiting: waitingLines(describeTarget(redis.target), log, tell) };
  await connectStore(store, redis, log, patience);
  await opened(news, redis, patience);
  await opened(connection, redis, { ...patience, check: () => reader.start() });
  tell();
  const watch = standing.watch(view);
  closers.push(() => watch.stop());
}

/** Looking back, on a connection of its own: heartbeats do not wait behind chunks of the log. Without Redis it is refused as they are. */
function createPast({ log, closers, redis }: Parts, store: Store): LookBack {
  const connection = createConnection('reader', redis, log);
  closers.push(() => connection.disconnect());
  void connection.connect().catch(() => undefined); // it goes on trying
  return new LookBack({ ...store, connection });
}

/** On a connection of its own it is woken: that blocks. */
function createLocks({ log, closers, redis }: Parts, store: Store): RedisLocks {
  const locks = new RedisLocks(store, createConnection('news', redis, log));
  closers.push(() => locks.end());
  return locks;
}

function startSweeping({ config, log, closers, metrics, redis }: Parts, store: Store, view: View, reader: Reader) {
  const maintenance = new RedisMaintenance(store, config.lease, log, () => view.position);
  const observer = sweepObserver(metrics);
  const jobs = startJobs({
    connection: createConnection('jobs', redis, log),
    prefix: jobsPrefix(config.redisPrefix),
    everyMs: config.sweepIntervalMs,
    tick: () => runSweep(maintenance, config.reconcileIntervalMs, observer, log),
    tickedAgoMs: () => reader.last.sweptAgoMs,
    log,
  });
  closers.push(() => jobs.close());
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
