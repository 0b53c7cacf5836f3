import { readFileSync } from 'node:fs';
import ipaddr from 'ipaddr.js';
import { parseTokens, tokensFromList, type Token } from './http/auth/tokens.js';
import { parseRedisUrl } from './redis/connect/url.js';
import type { ConnectionConfig } from './redis/connect/connection.js';
import type { LeaseLimits } from './registry/registration.js';
import { misspelt } from './variables.js';

const LOG_LEVELS = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'];
const PRIVATE_NETWORKS = '10.0.0.0/8,172.16.0.0/12,192.168.0.0/16,fc00::/7';
/** Of a developer who tries it out on one machine: anywhere else it is the gateway's own host, whose ports are nobody's to look at. */
const LOOPBACK = '127.0.0.0/8,::1/128';

/** Fewer go by while a replica reads a few entries or waits for its turn on a busy machine, and then it reads the whole registry again, and again. */
const MIN_EVENTS = 5000;

export interface Config {
  host: string;
  port: number;
  /** The port was asked for: if it is taken, say so instead of taking the next. */
  portFixed: boolean;
  /** Absent: embedded. */
  redis?: ConnectionConfig;
  redisPrefix: string;
  tokens: Token[];
  tokensFile?: string;
  lease: LeaseLimits;
  heartbeatIntervalMs: number;
  sweepIntervalMs: number;
  reconcileIntervalMs: number;
  eventsMax: number;
  offlineSeconds: number;
  maxStaleSeconds: number;
  trustProxy: string[];
  corsOrigins: string[];
  rateLimitPerSecond?: number;
  healthCheckCidrs: string[];
  metricsPublic: boolean;
  logLevel: string;
  /** systemd wants to be told when this is ready. */
  notify: boolean;
}

/** Everything that is wrong with the environment, a line each. */
export class ConfigError extends Error {
  constructor(problems: string[]) {
    super(`wrong configuration:\n${problems.map((problem) => `  ${problem}`).join('\n')}`);
  }
}

const PREFIX = /^(?:[A-Za-z0-9._:-]{1,63}|[A-Za-z0-9._:-]{0,30}\{[A-Za-z0-9._-]{1,30}\}[A-Za-z0-9._:-]{0,30}):$/;

type Env = Record<string, string | undefined>;

/** Reads the environment: the only place that does. @throws {ConfigError} naming every bad variable at once. */
export function readConfig(env: Env = process.env): Config {
  const problems: string[] = [];
  const read = reader(env, problems);
  const prefixes = { single: 'service:', sentinel: 'service:', cluster: '{service}:' };

  const target = read.parsed('REDIS_URL', parseRedisUrl);
  const embedded = env.REDIS_URL === undefined || env.REDIS_URL === '';
  if (embedded && env.NODE_ENV === 'production') problems.push('REDIS_URL is needed in production: set REDIS_URL=redis://host:port');
  const tlsCa = read.parsed('REDIS_TLS_CA', readText);
  const tokens = read.parsed('API_TOKENS', tokensFromList) ?? [];
  const tokensFile = env.API_TOKENS_FILE || undefined;
  read.parsed('API_TOKENS_FILE', (path) => parseTokens(readText(path)));
  if (!embedded && !env.API_TOKENS && !tokensFile) {
    problems.push('API_TOKENS or API_TOKENS_FILE is needed with an external Redis: set API_TOKENS="$(openssl rand -hex 24)"');
  }
  const rateLimitPerSecond = env.RATE_LIMIT_PER_SECOND ? read.integer('RATE_LIMIT_PER_SECOND', 0, 1, 1_000_000) : undefined;

  const config: Config = {
    host: env.HOST || (embedded ? '127.0.0.1' : '0.0.0.0'),
    port: read.integer('PORT', 3000, 0, 65_535),
    portFixed: !embedded || Boolean(env.PORT),
    ...(target && { redis: { target, tlsCa } }),
    redisPrefix: read.matching('REDIS_PREFIX', prefixes[target?.kind ?? 'single'], PREFIX, 'letters, digits, . _ : -, with at most one {hash-tag}, ending with a colon'),
    tokens,
    ...(tokensFile && { tokensFile }),
    lease: {
      defaultSeconds: read.integer('LEASE_TTL_SECONDS', 30, 1, 86_400),
      minSeconds: read.integer('LEASE_TTL_MIN_SECONDS', 2, 1, 86_400),
      maxSeconds: read.integer('LEASE_TTL_MAX_SECONDS', 3600, 1, 86_400),
    },
    ...readPace(read),
    trustProxy: read.list('TRUST_PROXY', isCidr, 'a list of CIDRs or addresses, such as 10.0.0.0/8,127.0.0.1'),
    corsOrigins: read.list('CORS_ORIGINS', isOrigin, 'a list of exact origins, such as https://ops.example.com'),
    ...(rateLimitPerSecond !== undefined && { rateLimitPerSecond }),
    healthCheckCidrs:
      env.HEALTH_CHECK_CIDRS?.trim() === 'none'
        ? []
        : read.list('HEALTH_CHECK_CIDRS', isCidr, 'a list of CIDRs, such as 10.0.0.0/8, or none', embedded ? `${PRIVATE_NETWORKS},${LOOPBACK}` : PRIVATE_NETWORKS),
    metricsPublic: read.oneOf('METRICS_PUBLIC', 'false', ['true', 'false']) === 'true',
    logLevel: read.oneOf('LOG_LEVEL', 'info', LOG_LEVELS),
    notify: Boolean(env.NOTIFY_SOCKET),
  };
  const { defaultSeconds, minSeconds, maxSeconds } = config.lease;
  if (minSeconds > defaultSeconds || defaultSeconds > maxSeconds) {
    problems.push(`LEASE_TTL_SECONDS must lie from LEASE_TTL_MIN_SECONDS to LEASE_TTL_MAX_SECONDS, not ${minSeconds} <= ${defaultSeconds} <= ${maxSeconds}`);
  }
  if (target?.kind === 'cluster' && !config.redisPrefix.includes('{')) {
    problems.push('REDIS_PREFIX must hold a hash tag in Cluster, such as {service}:');
  }
  if (problems.length > 0) throw new ConfigError(problems);
  return config;
}

/** Names in the environment that look like a slip of the pen. */
export const suspects = (env: Env = process.env) => misspelt(Object.keys(env).filter((name) => env[name] !== ''));

/** How often, how much, how long. */
const readPace = (read: ReturnType<typeof reader>) => ({
  heartbeatIntervalMs: read.integer('HEARTBEAT_INTERVAL_MS', 10_000, 100, 3_600_000),
  sweepIntervalMs: read.integer('SWEEP_INTERVAL_MS', 1000, 200, 3_600_000),
  reconcileIntervalMs: read.integer('RECONCILE_INTERVAL_MS', 30_000, 1000, 3_600_000),
  eventsMax: read.integer('EVENTS_MAX', 50_000, MIN_EVENTS, 10_000_000),
  offlineSeconds: read.integer('OFFLINE_SECONDS', 300, 1, 86_400),
  maxStaleSeconds: read.integer('MAX_STALE_SECONDS', 3600, 1, 604_800),
});

function reader(env: Env, problems: string[]) {
  const check = (name: string, ok: boolean, rule: string, value: string) => {
    if (!ok) problems.push(`${name} must be ${rule}, not '${value}'`);
  };
  return {
    integer(name: string, fallback: number, min: number, max: number): number {
      const text = env[name] || String(fallback);
      const value = Number(text);
      check(name, /^\d+$/.test(text) && value >= min && value <= max, `a whole number from ${min} to ${max}`, text);
      return value;
    },
    oneOf(name: string, fallback: string, values: string[]): string {
      const text = env[name] || fallback;
      check(name, values.includes(text), `one of ${values.join(', ')}`, text);
      return text;
    },
    matching(name: string, fallback: string, pattern: RegExp, rule: string): string {
      const text = env[name] || fallback;
      check(name, pattern.test(text), rule, text);
      return text;
    },
    list(name: string, accept: (item: string) => boolean, rule: string, fallback = ''): string[] {
      const items = (env[name] || fallback).split(',').map((item) => item.trim()).filter(Boolean);
      check(name, items.every(accept), rule, env[name] ?? '');
      return items;
    },
    /** The value is not repeated in the message: it may hold a secret. */
    parsed<T>(name: string, parse: (text: string) => T): T | undefined {
      if (!env[name]) return undefined;
      try {
        return parse(env[name]);
      } catch (error) {
        problems.push(`${name} ${(error as Error).message}`);
        return undefined;
      }
    },
  };
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw new Error(`names a file that cannot be read: ${(error as Error).message}`, { cause: error });
  }
}

const isCidr = (text: string) => ipaddr.isValidCIDR(text) || ipaddr.isValid(text);
function isOrigin(text: string): boolean {
  try {
    return new URL(text).origin === text;
  } catch {
    return false;
  }
}
