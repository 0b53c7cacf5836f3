import type { Server } from 'node:http';
import type { FastifyInstance } from 'fastify';
import { Redis } from 'ioredis';
import { pino } from 'pino';
import request from 'supertest';
import { inject, onTestFinished } from 'vitest';
import { buildApp, type AppOptions } from '../../src/app.js';
import { createMetrics } from '../../src/http/metrics/metrics.js';
import { TokenStore, tokensFromList, type Token } from '../../src/http/auth/tokens.js';
import { createTcpProber } from '../../src/probes/tcp.js';
import { RedisMaintenance } from '../../src/redis/upkeep/maintenance.js';
import { createConnection } from '../../src/redis/connect/connection.js';
import { RedisLocks } from '../../src/redis/locks/redis-locks.js';
import { openStore } from '../../src/redis/open-store.js';
import { serve } from '../../src/redis/serve.js';
import { parseRedisUrl } from '../../src/redis/connect/url.js';
import type { View } from '../../src/registry/view/view.js';
import { openView, strongByDefault } from './view.js';

/** What the sessions of the suite's gateways are signed with. */
export const SESSION_SECRET = Buffer.alloc(32, 7);
export const TOKEN = 'test-token-of-the-suite';
let prefixes = 0;

/** A prefix that no other test uses. */
export const freshPrefix = () => `test-${process.pid}-${Date.now()}-${prefixes++}:`;

export const silent = pino({ level: 'silent' });

export interface StoreSetup {
  redisUrl?: string;
  prefix?: string;
  eventsMax?: number;
  /** Reads are answered as the view stands; otherwise each is strong (test/helpers/view.ts). */
  fromMemory?: boolean;
  maxStaleMs?: number;
  /** Where to put what closes it; by default it lives as long as the test. */
  cleanup?: (close: () => Promise<void>) => void;
}

/** A registry over a real Redis under a fresh prefix, closed and cleaned when the test is over. */
export async function openRegistry(setup: StoreSetup = {}) {
  const { redisUrl = inject('redisUrl'), prefix = freshPrefix(), eventsMax = 50_000, fromMemory = false, maxStaleMs, cleanup = onTestFinished } = setup;
  const config = { target: parseRedisUrl(redisUrl) };
  const store = await openStore(config, { prefix, eventsMax, plainLua: false }, silent);
  const raw = new Redis(redisUrl);
  raw.on('error', () => undefined);
  // The sweep and the pulse of a real replica keep `alive` young; without it every lease would be in grace.
  await raw.set(store.keys.alive, Date.now());
  cleanup(async () => {
    const keys = await raw.keys(`${prefix}*`).catch(() => []);
    if (keys.length > 0) await raw.del(keys);
    raw.disconnect();
    store.connection.disconnect();
  });
  const maintenance = new RedisMaintenance(store, { minSeconds: 1, maxSeconds: 3600 }, silent);
  const registryOf = (view: View) => (fromMemory ? serve(store, view) : strongByDefault(serve(store, view)));
  const { view, reader } = await openView(store, config, cleanup, maxStaleMs);
  /** As a replica that starts now has it: its view has just been loaded. */
  const startAnother = async () => registryOf((await openView(store, config, cleanup)).view);
  return { store, raw, prefix, keys: store.keys, view, reader, registry: registryOf(view), startAnother, maintenance };
}

export interface GatewaySetup extends StoreSetup, Partial<Omit<AppOptions, 'tokens'>> {
  tokens?: Token[];
}

/** The gateway as an application in this process, over a real Redis under a fresh prefix. */
export async function buildGateway(setup: GatewaySetup = {}) {
  const opened = await openRegistry(setup);
  const { tokens = tokensFromList(TOKEN), cleanup = onTestFinished, redisUrl: _url, prefix: _prefix, eventsMax: _max, fromMemory: _memory, maxStaleMs: _stale, ...options } = setup;
  const app = await buildApp({
    registry: opened.registry,
    locks: new RedisLocks(opened.store, createConnection('news', { target: parseRedisUrl(setup.redisUrl ?? inject('redisUrl')) }, silent)),
    view: opened.view,
    prober: createTcpProber(['127.0.0.0/8', '::1/128']),
    sessionSecret: () => SESSION_SECRET,
    metrics: createMetrics(),
    lease: { defaultSeconds: 30, minSeconds: 1, maxSeconds: 3600 },
    heartbeatIntervalMs: 10_000,
    log: silent,
    draining: () => false,
    storeReachable: () => opened.reader.last.fresh,
    ...options,
    tokens: new TokenStore(tokens),
  });
  await app.listen({ host: '127.0.0.1', port: 0 });
  cleanup(() => closeApp(app));
  return { ...opened, app, call: caller(app.server, TOKEN) };
}

/** A client may have opened a socket without asking anything on it, as `fetch` does after an abort: nobody else would close that one. */
async function closeApp(app: FastifyInstance) {
  const late = setTimeout(() => app.server.closeAllConnections(), 1000);
  await app.close();
  clearTimeout(late);
}

/** Calls with the token: `call.post('/instances').send(…)`, below `/sd/v1`. */
export function caller(server: Server | string, token: string) {
  const below = (path: string) => (path.startsWith('//') ? path.slice(1) : `/sd/v1${path}`);
  return {
    get: (path: string) => request(server).get(below(path)).set('X-API-Token', token),
    post: (path: string) => request(server).post(below(path)).set('X-API-Token', token),
    patch: (path: string) => request(server).patch(below(path)).set('X-API-Token', token),
    delete: (path: string) => request(server).delete(below(path)).set('X-API-Token', token),
  };
}

/** A registration that is right in every field a test does not care about. */
export const registration = (fields: Record<string, unknown> = {}) => ({
  type: 'game',
  group: 'kr-1',
  hostname: 'game-1.example.com',
  ...fields,
});
