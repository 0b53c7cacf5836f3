import { once } from 'node:events';
import type { Logger } from 'pino';
import { createConnection, type Connection, type ConnectionConfig } from './connect/connection.js';
import { makeKeys } from './scripts/keys.js';
import type { Store } from './scripts/store.js';
import { Scripts } from './scripts/scripts.js';
import { StoreClock } from './connect/store-clock.js';
import { Turns } from './scripts/turns.js';
import { describeTarget } from './connect/url.js';

const CONNECT_WITHIN_MS = 5000;
const LOOK_EVERY_MS = 250;
const MIN_VERSION = 7;

export interface StoreOptions {
  prefix: string;
  eventsMax: number;
  plainLua: boolean;
  /** Called for every transaction of writes. */
  observe?: (seconds: number, failed: boolean) => void;
}

export interface Patience {
  /** How long Redis may be away; for ever: `Infinity`. What waiting cannot mend ends it at once. */
  withinMs?: number;
  /** Called again and again while Redis is away, with the reason. */
  waiting?: (reason: Error) => void;
}

/** A store that is not connected yet: everything that needs Redis is refused until `connectStore` is through. */
export function createStore(config: ConnectionConfig, options: StoreOptions, log: Logger): Store {
  const connection = createConnection('commands', config, log);
  const keys = makeKeys(options.prefix);
  const scripts = new Scripts(keys, options);
  const clock = new StoreClock();
  const turns = new Turns(connection, scripts, clock, options.observe ?? (() => undefined));
  return { connection, keys, scripts, turns, clock };
}

/**
 * Connects, and refuses a Redis that the registry cannot stand on.
 * @throws {Error} one line that says what to do: wrong password, missing rights, wrong database, too old; away for longer than `withinMs`.
 */
export const connectStore = ({ connection, clock }: Store, config: ConnectionConfig, log: Logger, patience?: Patience) =>
  opened(connection, config, { ...patience, check: () => checkServer(connection, clock, log) });

/** Both at once. @throws {Error} as `connectStore`, after 5 s at the latest. */
export async function openStore(config: ConnectionConfig, options: StoreOptions, log: Logger): Promise<Store> {
  const store = createStore(config, options, log);
  await connectStore(store, config, log);
  return store;
}

/** A connection of its own for reading the log, which callers' writes do not hold up. */
export async function openReaderConnection(config: ConnectionConfig, log: Logger, role: 'reader' | 'news' = 'reader'): Promise<Connection> {
  const connection = createConnection(role, config, log);
  await opened(connection, config);
  return connection;
}

/** Waits until it is ready and `check` is content; else closes it, and says what to do. */
export async function opened(connection: Connection, { target }: ConnectionConfig, { withinMs = CONNECT_WITHIN_MS, waiting, check }: Patience & { check?: () => Promise<void> } = {}) {
  const until = performance.now() + withinMs;
  let reason = new Error('no answer');
  const hear = (error: Error & { lastNodeError?: Error }) => {
    const cause = error.lastNodeError ?? error;
    if (cause.message !== 'Connection is closed.') reason = cause; // that one only follows the reason
  };
  connection.on('error', hear);
  connection.connect().catch(() => undefined); // its errors come as events, and say more
  try {
    for (;;) {
      if (connection.status === 'ready') {
        try {
          return await check?.();
        } catch (error) {
          hear(error as Error);
        }
      }
      if (isFinal(reason) || performance.now() >= until) break;
      waiting?.(reason);
      await once(connection, 'ready', { signal: AbortSignal.timeout(LOOK_EVERY_MS) }).catch(() => undefined);
    }
  } finally {
    connection.off('error', hear);
  }
  connection.disconnect();
  throw new Error(explain(reason, describeTarget(target)), { cause: reason });
}

const LOGIN = /^(WRONGPASS|NOAUTH|ERR invalid password|ERR AUTH)/;
const CERTIFICATE = /certificate|altnames/;
const DATABASE = /^ERR (invalid )?DB index|^ERR SELECT is not allowed/i;
const NO_REDIS = /^(Unknown RESP type|Protocol error)/;
const FINAL = [LOGIN, CERTIFICATE, DATABASE, NO_REDIS, /^(NOPERM|TOO OLD|ERR This instance has cluster support disabled)/];

/** Waiting does not mend it. */
const isFinal = ({ message }: Error) => FINAL.some((pattern) => pattern.test(message));

async function checkServer(connection: Connection, clock: StoreClock, log: Logger) {
  const askedAt = performance.now();
  const info = await connection.info();
  const nowUs = Number(/^server_time_usec:(\d+)/m.exec(info)?.[1]);
  if (nowUs > 0) clock.take(Math.floor(nowUs / 1000), askedAt);
  const valkey = /^valkey_version:/m.test(info);
  const version = /^redis_version:(\S+)/m.exec(info)?.[1] ?? '0';
  if (!valkey && Number.parseInt(version, 10) < MIN_VERSION) throw new Error(`TOO OLD ${version}`);
  const policy = /^maxmemory_policy:(\S+)/m.exec(info)?.[1];
  if (policy !== undefined && policy !== 'noeviction') {
    log.warn({ policy }, 'redis may evict the registry when it is full: set maxmemory-policy noeviction');
  }
}

/** A failure to open as one line that says what to do. */
export function explain(error: Error, where: string): string {
  const said = error.message.replace(/\. Retrying from scratch.*$/, ''); // Sentinel's: it retries no more
  if (said.startsWith('TOO OLD')) return `Redis at ${where} is version ${said.slice(8)}: Rollcall needs Redis 7.0 or newer, or Valkey`;
  if (said.startsWith('NOAUTH')) return `Redis at ${where} needs a password: write it into REDIS_URL, redis://user:password@host:port`;
  if (LOGIN.test(said)) return `Redis at ${where} refused the login (${said}): correct the user and password in REDIS_URL`;
  if (said.startsWith('NOPERM')) return `Redis at ${where} lacks rights for this user (${said}): see docs/operating.md for the ACL line`;
  if (CERTIFICATE.test(said)) return `Redis at ${where} shows a certificate that is not trusted (${said}): name its CA in REDIS_TLS_CA`;
  if (DATABASE.test(said)) return `Redis at ${where} does not have the database that REDIS_URL names (${said}): correct the number after the last slash`;
  if (NO_REDIS.test(said)) return `${where} does not speak Redis' protocol: correct host and port in REDIS_URL`;
  return `cannot reach Redis at ${where} (${said}): start it, or correct REDIS_URL`;
}
