import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { ConfigError, readConfig } from '../src/config.js';
import { misspelt, VARIABLES } from '../src/variables.js';

const TOKEN = { API_TOKENS: 'secret-token' };
const EXTERNAL = { REDIS_URL: 'redis://h:6379', ...TOKEN };

function problems(env: Record<string, string>): string[] {
  try {
    readConfig(env);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return error.message.split('\n').slice(1).map((line) => line.trim());
  }
  return [];
}

function file(content: string): string {
  const dir = mkdtempSync(join(tmpdir(), 'rollcall-test-config-'));
  onTestFinished(() => rmSync(dir, { recursive: true }));
  writeFileSync(join(dir, 'file'), content);
  return join(dir, 'file');
}

test('with nothing set it is embedded, on loopback, with the documented defaults', () => {
  expect(readConfig({})).toEqual({
    host: '127.0.0.1', port: 3000, portFixed: false, redisPrefix: 'service:', tokens: [],
    lease: { defaultSeconds: 30, minSeconds: 2, maxSeconds: 3600 },
    heartbeatIntervalMs: 10_000, sweepIntervalMs: 1000, reconcileIntervalMs: 30_000, eventsMax: 50_000, offlineSeconds: 300, maxStaleSeconds: 3600,
    trustProxy: [], corsOrigins: [], metricsPublic: false, logLevel: 'info', notify: false,
    healthCheckCidrs: ['10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', 'fc00::/7', '127.0.0.0/8', '::1/128'],
  });
});

test('health checks go to private networks; to loopback only when the Redis is embedded; nowhere, if so asked', () => {
  const external = readConfig(EXTERNAL).healthCheckCidrs;
  expect(external).toEqual(['10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', 'fc00::/7']);
  expect(readConfig({ ...EXTERNAL, HEALTH_CHECK_CIDRS: '' }).healthCheckCidrs).toEqual(external);
  for (const none of ['none', ' none ']) expect(readConfig({ HEALTH_CHECK_CIDRS: none }).healthCheckCidrs).toEqual([]);
  expect(problems({ HEALTH_CHECK_CIDRS: 'none,10.0.0.0/8' })).toHaveLength(1);
});

test('an empty variable counts as one that is not set', () => {
  const empty = Object.fromEntries(['PORT', 'HOST', 'REDIS_URL', 'API_TOKENS', 'LOG_LEVEL', 'REDIS_PREFIX', 'RATE_LIMIT_PER_SECOND'].map((name) => [name, '']));
  expect(readConfig(empty)).toEqual(readConfig({}));
});

test('with an external Redis it listens everywhere, on the port it was told', () => {
  expect(readConfig(EXTERNAL)).toMatchObject({ host: '0.0.0.0', port: 3000, portFixed: true, redis: { target: { kind: 'single' } }, tokens: [{ name: 'token-1' }] });
  expect(readConfig({ ...EXTERNAL, REDIS_URL: 'redis+cluster://a:1' }).redisPrefix).toBe('{service}:');
  expect(readConfig({ PORT: '0' })).toMatchObject({ port: 0, portFixed: true });
});

const BAD: [name: string, value: string, says: RegExp | string][] = [
  ['PORT', 'http', "PORT must be a whole number from 0 to 65535, not 'http'"],
  ['PORT', '65536', /^PORT must be a whole number/],
  ['PORT', '-1', /^PORT must be a whole number/],
  ['PORT', '1e3', /^PORT must be a whole number/],
  ['LEASE_TTL_SECONDS', '1.5', /^LEASE_TTL_SECONDS must be a whole number/],
  ['LEASE_TTL_SECONDS', '4000', /^LEASE_TTL_SECONDS must lie from LEASE_TTL_MIN_SECONDS to LEASE_TTL_MAX_SECONDS, not 2 <= 4000 <= 3600/],
  ['LEASE_TTL_MIN_SECONDS', '60', /^LEASE_TTL_SECONDS must lie/],
  ['LEASE_TTL_MAX_SECONDS', '0', /^LEASE_TTL_MAX_SECONDS must be/],
  ['HEARTBEAT_INTERVAL_MS', '5', /^HEARTBEAT_INTERVAL_MS must be/],
  ['SWEEP_INTERVAL_MS', 'often', /^SWEEP_INTERVAL_MS must be/],
  ['RECONCILE_INTERVAL_MS', '10', /^RECONCILE_INTERVAL_MS must be/],
  ['EVENTS_MAX', '0', /^EVENTS_MAX must be/],
  ['EVENTS_MAX', '4999', /^EVENTS_MAX must be a whole number from 5000 to 10000000/],
  ['OFFLINE_SECONDS', '0', /^OFFLINE_SECONDS must be a whole number from 1 to 86400/],
  ['MAX_STALE_SECONDS', '1h', /^MAX_STALE_SECONDS must be a whole number from 1 to 604800/],
  ['RATE_LIMIT_PER_SECOND', '0', /^RATE_LIMIT_PER_SECOND must be/],
  ['TRUST_PROXY', 'true', /^TRUST_PROXY must be a list of CIDRs/],
  ['TRUST_PROXY', '10.0.0.0/8,nonsense', /^TRUST_PROXY must be/],
  ['CORS_ORIGINS', '*', /^CORS_ORIGINS must be a list of exact origins/],
  ['CORS_ORIGINS', 'https://a.example.com/', /^CORS_ORIGINS must be/],
  ['HEALTH_CHECK_CIDRS', '10.0.0.0/99', /^HEALTH_CHECK_CIDRS must be/],
  ['METRICS_PUBLIC', 'yes', "METRICS_PUBLIC must be one of true, false, not 'yes'"],
  ['LOG_LEVEL', 'loud', /^LOG_LEVEL must be one of fatal, error, warn, info/],
  ['REDIS_PREFIX', 'a b:', /^REDIS_PREFIX must be letters/],
  ['REDIS_PREFIX', '{a}{b}', /^REDIS_PREFIX must be letters/],
  ['REDIS_PREFIX', 'service', /^REDIS_PREFIX must be/],
  ['REDIS_PREFIX', '{}:', /^REDIS_PREFIX must be letters/],
  ['REDIS_URL', 'localhost', /^REDIS_URL must look like redis:\/\//],
  ['REDIS_TLS_CA', '/nowhere/ca.pem', /^REDIS_TLS_CA names a file that cannot be read: ENOENT/],
  ['API_TOKENS', 'a,,b', /^API_TOKENS must be a comma-separated list of printable tokens without spaces; number 2 is not/],
  ['API_TOKENS_FILE', '/nowhere/tokens.json', /^API_TOKENS_FILE names a file that cannot be read/],
  ['NODE_ENV', 'production', 'REDIS_URL is needed in production: set REDIS_URL=redis://host:port'],
];

test.each(BAD)("%s='%s' is refused by name and rule", (name, value, says) => {
  const found = problems({ ...TOKEN, [name]: value });
  expect(found[0]).toMatch(says);
  // A bad bound of the lease also contradicts the others; nothing else may come along.
  expect(found.slice(1).filter((line) => !line.startsWith('LEASE_TTL_SECONDS must lie from'))).toEqual([]);
});

test('every bad variable is named in one message', () => {
  const names = ['PORT', 'REDIS_URL', 'SWEEP_INTERVAL_MS', 'TRUST_PROXY', 'LOG_LEVEL', 'METRICS_PUBLIC', 'API_TOKENS', 'EVENTS_MAX'];
  const found = problems({ ...Object.fromEntries(names.map((name) => [name, 'not that'])) });
  for (const name of names) expect(found.filter((line) => line.startsWith(`${name} `)), name).toHaveLength(1);
});

test('an external Redis needs tokens, and says how to make one', () => {
  expect(problems({ REDIS_URL: 'redis://h' })).toEqual([
    'API_TOKENS or API_TOKENS_FILE is needed with an external Redis: set API_TOKENS="$(openssl rand -hex 24)"',
  ]);
});

test('a Cluster needs a prefix with a hash tag', () => {
  expect(problems({ ...TOKEN, REDIS_URL: 'redis+cluster://h', REDIS_PREFIX: 'service:' })[0]).toMatch(/^REDIS_PREFIX must hold a hash tag in Cluster/);
});

test.each([
  { title: 'no JSON', content: '[{"token":"hunter2",', says: /is not JSON: see line 1, column 21/ },
  { title: 'a comma too many', content: '[\n {"token":"hunter2"},\n]', says: /is not JSON: a comma too many/ },
  { title: 'no list', content: '{"token":"hunter2"}', says: /must hold an array/ },
  { title: 'an unknown field', content: '[{"name":"a","token":"hunter2","verbs":["read"],"scope":1}]', says: /entry 1: has an unknown field 'scope'/ },
  { title: 'an unknown verb', content: '[{"name":"a","token":"hunter2","verbs":["fly"]}]', says: /entry 1: verbs must list/ },
  { title: 'two of one name', content: '[{"name":"a","token":"hunter2","verbs":["read"]},{"name":"a","token":"x","verbs":["read"]}]', says: /names two tokens 'a'/ },
])('a token file with $title is refused, and no secret is repeated', ({ content, says }) => {
  const [found = ''] = problems({ REDIS_URL: 'redis://h', API_TOKENS_FILE: file(content) });
  expect(found).toMatch(says);
  expect(found).not.toContain('hunter2');
});

test('a message repeats no secret', () => {
  expect(problems({ REDIS_URL: 'redis://u:hunter2@h:x', API_TOKENS: 'hunter2 and more' }).join()).not.toContain('hunter2');
});

const EXAMPLE = new URL('../.env.example', import.meta.url);

test('--help and .env.example tell the same of exactly the variables that are read', () => {
  const read = new Set<string>();
  const env = new Proxy({}, {
    get: (_, name) => {
      if (typeof name === 'string') read.add(name);
      return undefined;
    },
  });
  readConfig(env);
  const rows = [...readFileSync(EXAMPLE, 'utf8').matchAll(/^# (.+)\n#([A-Z][A-Z0-9_]+)=(.*)$/gm)].map(([, about, name, fallback]) => ({ name, default: fallback, about }));
  expect(rows).toEqual(VARIABLES);
  expect(rows.map(({ name }) => name).sort()).toEqual([...read].sort());
});

test('a name like one of ours is taken for a slip, one of anybody else is not', () => {
  const others = ['PATH', 'HOME', 'HOSTNAME', 'PORTS', 'REDIS_PORT', 'REDIS_HOST', 'NODE_OPTIONS', 'LOG_FILE', 'API_KEY', 'PROXY', 'REDIS_URL', 'TRUST_PROXY'];
  expect(misspelt(others)).toEqual([]);
  const slips = { REDIS_URI: 'REDIS_URL', REDISURL: 'REDIS_URL', redis_url: 'REDIS_URL', API_TOKEN: 'API_TOKENS', API_TOKEN_FILE: 'API_TOKENS_FILE', LOGLEVEL: 'LOG_LEVEL', TRUST_PROXIES: undefined };
  for (const [slip, meant] of Object.entries(slips)) expect(misspelt([slip])[0]?.meant, slip).toBe(meant);
});
