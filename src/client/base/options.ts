import { refuseOption } from './errors.js';

/** A logger such as pino: the object first, then the words. */
export interface ClientLog {
  info(about: object, message: string): void;
  warn(about: object, message: string): void;
}

export interface ClientOptions {
  /** `http` (default): to a gateway. `redis`: straight to the Redis of the registry, for servers that can reach it. */
  mode?: 'http' | 'redis';
  /** Of a gateway or balancer, or several, tried in turn; without `/sd/v1`. Default: `ROLLCALL_URL`, several with commas between them. */
  baseURL?: string | readonly string[];
  /** Default: `ROLLCALL_TOKEN`. */
  apiToken?: string;
  /** Length of the leases that `register` and `join` ask for, in seconds; 30 unless given. */
  ttlSeconds?: number;
  /** How often at least to beat, in ms; 10,000 unless given. The gateway may ask for more often. */
  heartbeatIntervalMs?: number;
  /** Time limit of a call, in ms, whatever number of tries it takes; 5,000 unless given. One that waits for a lock has its wait and 10 s. */
  timeoutMs?: number;
  /** Of the keys in Redis; `service:` unless given. Redis mode only. */
  keyPrefix?: string;
  /** `redis://`, `rediss://`, `redis+sentinel://` or `redis+cluster://`. Default: `REDIS_URL`. Redis mode only. */
  redisUrl?: string;
  /** One line each for what matters; none unless given. */
  log?: ClientLog;
  /** Instead of the built-in one: for a proxy, or a certificate of one's own. */
  fetch?: typeof globalThis.fetch;
}

export interface Settings {
  mode: 'http' | 'redis';
  baseURLs: string[];
  apiToken: string | undefined;
  ttlSeconds: number;
  heartbeatIntervalMs: number;
  timeoutMs: number;
  keyPrefix: string;
  redisUrl: string | undefined;
  log: ClientLog;
  fetch: typeof globalThis.fetch;
  hasOwnFetch: boolean;
}

const KNOWN = ['mode', 'baseURL', 'apiToken', 'ttlSeconds', 'heartbeatIntervalMs', 'timeoutMs', 'keyPrefix', 'redisUrl', 'log', 'fetch'];
const NO_LOG: ClientLog = { info: () => undefined, warn: () => undefined };

/** The environment, where there is one: a browser has none, Deno may refuse it. */
export function envOf(name: string): string | undefined {
  try {
    const { process } = globalThis as { process?: { env?: Record<string, string | undefined> } };
    return process?.env?.[name] || undefined;
  } catch {
    return undefined;
  }
}

/** @throws {RollcallError} invalid_request, which names the option. */
export function settingsOf(options: ClientOptions = {}): Settings {
  const unknown = Object.keys(options).find((name) => !KNOWN.includes(name));
  if (unknown !== undefined) refuseOption(unknown, `one of ${KNOWN.join(', ')}`);
  const { mode = 'http', apiToken = envOf('ROLLCALL_TOKEN'), keyPrefix = 'service:', redisUrl = envOf('REDIS_URL'), log = NO_LOG, fetch = globalThis.fetch } = options;
  if (mode !== 'http' && mode !== 'redis') refuseOption('mode', "'http' or 'redis'", mode);
  if (mode === 'redis' && !redisUrl) refuseOption('redisUrl', 'given in mode redis, here or as REDIS_URL');
  if (apiToken !== undefined && (typeof apiToken !== 'string' || !/^[\x21-\x7e]+$/.test(apiToken))) refuseOption('apiToken', 'a token: printable ASCII without spaces');
  if (typeof keyPrefix !== 'string' || keyPrefix === '') refuseOption('keyPrefix', 'a text that is not empty', keyPrefix);
  if (typeof log?.info !== 'function' || typeof log.warn !== 'function') refuseOption('log', 'a logger with info and warn, such as pino');
  if (typeof fetch !== 'function') refuseOption('fetch', 'a function such as the built-in fetch, which Node has since 18');
  return {
    mode,
    baseURLs: mode === 'http' ? baseURLsOf(options.baseURL ?? envOf('ROLLCALL_URL')?.split(',')) : [],
    apiToken,
    ttlSeconds: inRange('ttlSeconds', options.ttlSeconds ?? 30, 1, 86_400),
    heartbeatIntervalMs: inRange('heartbeatIntervalMs', options.heartbeatIntervalMs ?? 10_000, 100, 3_600_000),
    timeoutMs: inRange('timeoutMs', options.timeoutMs ?? 5000, 100, 600_000),
    keyPrefix,
    redisUrl,
    log,
    hasOwnFetch: options.fetch !== undefined,
    fetch: (...args) => fetch(...args), // a browser's must not be called as a method of something else
  };
}

function baseURLsOf(given: string | readonly string[] | undefined): string[] {
  const all = (typeof given === 'string' ? [given] : (given ?? [])).map((url) => url.trim());
  if (all.length === 0) refuseOption('baseURL', 'given, here or as ROLLCALL_URL, such as http://127.0.0.1:3000');
  return all.map((text) => {
    const url = URL.canParse(text) ? new URL(text) : refuseOption('baseURL', 'a URL such as http://127.0.0.1:3000', text);
    if (!/^https?:$/.test(url.protocol) || url.search !== '' || url.hash !== '') refuseOption('baseURL', 'http:// or https://, without a query', text);
    if (url.username !== '' || url.password !== '') refuseOption('baseURL', 'without a name and password: the token goes into apiToken');
    const base = withoutSlashes(text);
    return base.endsWith('/sd/v1') ? base.slice(0, -'/sd/v1'.length) : base;
  });
}

/** A regular expression would take time by the square of their number. */
function withoutSlashes(text: string): string {
  let end = text.length;
  while (text[end - 1] === '/') end--;
  return text.slice(0, end);
}

function inRange(name: string, given: number, min: number, max: number): number {
  if (typeof given !== 'number' || !Number.isInteger(given) || given < min || given > max) refuseOption(name, `a whole number from ${min} to ${max}`, given);
  return given;
}
