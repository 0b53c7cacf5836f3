import type { Logger } from 'pino';
import { createConnection, type Connection, type ConnectionConfig } from './connection.js';
import { makeKeys } from './keys.js';
import type { Store } from './store.js';
import { Scripts } from './scripts.js';
import { Turns } from './turns.js';
import { describeTarget } from './url.js';

const CONNECT_WITHIN_MS = 5000;
const MIN_VERSION = 7;

export interface StoreOptions {
  prefix: string;
  eventsMax: number;
  plainLua: boolean;
  /** Called for every transaction of writes. */
  observe?: (seconds: number, failed: boolean) => void;
}

/**
 * Connects, and refuses a Redis that the registry cannot stand on.
 * @throws {Error} one line that says what to do: unreachable for 5 s, wrong password, missing rights, too old.
 */
export async function openStore(config: ConnectionConfig, options: StoreOptions, log: Logger): Promise<Store> {
  const connection = createConnection('commands', config, log);
  await opened(connection, config, () => checkServer(connection, log));
  const keys = makeKeys(options.prefix);
  const scripts = new Scripts(keys, options);
  const turns = new Turns(connection, scripts, options.observe ?? (() => undefined));
  return { connection, keys, scripts, turns };
}

/** A connection of its own for reading the log, which callers' writes do not hold up. */
export async function openReaderConnection(config: ConnectionConfig, log: Logger): Promise<Connection> {
  const connection = createConnection('reader', config, log);
  await opened(connection, config);
  return connection;
}

/** Waits until it is ready and found good; else closes it, and says what to do. */
async function opened(connection: Connection, { target }: ConnectionConfig, check: () => Promise<void> = () => Promise.resolve()) {
  try {
    await ready(connection);
    await check();
  } catch (error) {
    connection.disconnect();
    throw new Error(explain(error as Error, describeTarget(target)), { cause: error });
  }
}

const FATAL = /^(WRONGPASS|NOAUTH|NOPERM|ERR invalid password|ERR AUTH)/;
const CERTIFICATE = /certificate|altnames/;

/** Waits for the first `ready`; a refused password ends the wait at once. */
function ready(connection: Connection): Promise<void> {
  return new Promise((resolve, reject) => {
    let lastError = new Error('no answer');
    const finish = (settle: () => void) => {
      clearTimeout(timer);
      connection.off('error', onError).off('ready', onReady);
      settle();
    };
    const timer = setTimeout(() => finish(() => reject(lastError)), CONNECT_WITHIN_MS);
    const onReady = () => finish(resolve);
    const onError = (error: Error & { lastNodeError?: Error }) => {
      const cause = error.lastNodeError ?? error;
      if (cause.message !== 'Connection is closed.') lastError = cause; // that one only follows the reason
      if (FATAL.test(lastError.message) || CERTIFICATE.test(lastError.message)) finish(() => reject(lastError));
    };
    connection.on('error', onError).on('ready', onReady);
    connection.connect().catch(() => undefined); // its errors come as events, and say more
  });
}

async function checkServer(connection: Connection, log: Logger) {
  const info = await connection.info();
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
  const said = error.message;
  if (said.startsWith('TOO OLD')) return `Redis at ${where} is version ${said.slice(8)}: Rollcall needs Redis 7.0 or newer, or Valkey`;
  if (FATAL.test(said) && !said.startsWith('NOPERM')) return `Redis at ${where} refused the login (${said}): correct the user and password in REDIS_URL`;
  if (said.startsWith('NOPERM')) return `Redis at ${where} lacks rights for this user (${said}): see docs/operating.md for the ACL line`;
  if (CERTIFICATE.test(said)) return `Redis at ${where} shows a certificate that is not trusted (${said}): name its CA in REDIS_TLS_CA`;
  return `cannot reach Redis at ${where} (${said}): start it, or correct REDIS_URL`;
}
