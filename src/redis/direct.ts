import type { Logger } from 'pino';
import type { EventsReply, GroupsReply } from '../contract/index.js';
import { RegistryError } from '../registry/errors.js';
import type { Locks } from '../registry/locks.js';
import { changeJson } from '../registry/log/change.js';
import type { Registry, WatchMessage } from '../registry/registry.js';
import { revisionOf } from '../registry/revision.js';
import type { ReplicaRegistry } from '../registry/served/replica-registry.js';
import { View } from '../registry/view/view.js';
import { WatchHub } from '../registry/watch/hub.js';
import { opened, openStore } from './open-store.js';
import { createConnection, type ConnectionConfig } from './connect/connection.js';
import { parseRedisUrl } from './connect/url.js';
import { Reader } from './follow/reader.js';
import { RedisLocks } from './locks/redis-locks.js';
import { messageFrames, Messages } from './message-frames.js';
import { RedisRegistrar } from './redis-registrar.js';
import type { Store } from './scripts/store.js';
import { serve } from './serve.js';

export interface DirectOptions {
  redisUrl: string;
  prefix: string;
  /** Such as pino. Errors of connections are warnings here: a client goes on trying. */
  log: { info: (about: object, message: string) => void; warn: (about: object, message: string) => void };
}

export interface Direct extends Registry {
  locks: Locks;
  watch: (...args: [...Parameters<Registry['watch']>, up?: () => void]) => AsyncIterable<WatchMessage>;
  close: () => Promise<void>;
}

/** The first read loads the registry; then it is followed. */
const LOADED_WITHIN_MS = 5000;
const EVENTS_MAX = 50_000;
const OFFLINE_MS = 300_000;
const MAX_STALE_MS = 900_000;

/**
 * The registry by a process that reaches its Redis: writes are script calls, and reads are answered from a view of its own, as a gateway has it,
 * which is only there once somebody reads. A server that only registers costs one connection.
 * @throws {Error} one line that says what to do: away for 5 s, wrong password, wrong database, too old.
 */
export async function openDirect({ redisUrl, prefix, log: told }: DirectOptions): Promise<Direct> {
  const log = { info: told.info.bind(told), warn: told.warn.bind(told), error: told.warn.bind(told) } as Logger;
  const target = parseRedisUrl(redisUrl);
  const store = await openStore({ target }, { prefix, eventsMax: EVENTS_MAX, plainLua: false }, log);
  const locks = new RedisLocks(store, createConnection('news', { target }, log));
  const registrar = new RedisRegistrar(store);
  let opening: Promise<Viewed> | undefined;
  /** Writes go by its side once it is there: it knows what Redis may have lost. They do not wait for it. */
  let viewed: Viewed | undefined;
  const open = () => (opening ??= openView(store, { target }, log).then(
    (ready) => (viewed = ready),
    (error: unknown) => {
      opening = undefined; // the next read tries again
      throw error;
    },
  ));
  const served = async () => (await open()).registry;
  const writes = () => viewed?.registry ?? registrar;
  return {
    locks,
    register: (...args) => writes().register(...args),
    heartbeat: (beats) => writes().heartbeat(beats),
    patch: (...args) => writes().patch(...args),
    remove: (...args) => writes().remove(...args),
    release: (...args) => registrar.release(...args),
    find: async (...args) => (await served()).find(...args),
    discover: async (query, need) => {
      const { answer, ...rest } = await (await served()).discover(query, need);
      return { ...answer.read(), etag: answer.etag, ...rest };
    },
    groups: async (need) => {
      const { groups, ...certainty } = await (await served()).groups(need);
      return { groups: groups.map(({ json }) => JSON.parse(json) as GroupsReply['groups'][number]), ...certainty };
    },
    history: async (query) => {
      const { epoch, changes, next, gap } = await (await served()).history(query);
      const events = changes.map((change) => JSON.parse(changeJson(change)) as EventsReply['events'][number]);
      return { events, ...(next !== undefined && { next: revisionOf({ epoch, id: next }) }), ...(gap && { gap }) };
    },
    watch: (...args) => watch(served, ...args),
    close: async () => {
      await opening?.then(({ close }) => close(), () => undefined);
      locks.end();
      store.connection.disconnect();
    },
  };
}

interface Viewed {
  registry: ReplicaRegistry;
  close: () => Promise<void>;
}

/** Loads the registry, and follows it from then on. @throws {RegistryError} store_unavailable when that takes longer than 5 s: nothing is left open then. */
async function openView(store: Store, config: ConnectionConfig, log: Logger): Promise<Viewed> {
  const view = new View({ hub: new WatchHub(messageFrames, { ended: () => undefined }), maxStaleMs: MAX_STALE_MS });
  const [connection, news] = [createConnection('reader', config, log), createConnection('news', config, log)];
  let isLoaded: () => void = () => undefined;
  const loaded = new Promise<void>((resolve) => (isLoaded = resolve));
  const nothing = () => undefined;
  const observer = { reachable: nothing, applied: nothing, loaded: () => isLoaded(), recovered: nothing, diverged: nothing };
  const reader = new Reader({ ...store, connection }, news, view, { offlineMs: OFFLINE_MS, ownStore: false, observer }, log);
  const close = async () => {
    view.end();
    await reader.stop(); // closes both
  };
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new RegistryError('store_unavailable', 'the registry could not be read in time: try again')), LOADED_WITHIN_MS);
  });
  try {
    await opened(news, config);
    await opened(connection, config, { check: () => reader.start() });
    await Promise.race([loaded, late]);
    return { registry: serve(store, view), close };
  } catch (error) {
    await close();
    throw error;
  } finally {
    clearTimeout(timer);
  }
}

async function* watch(served: () => Promise<ReplicaRegistry>, query: Parameters<Registry['watch']>[0], from: string | undefined, signal: AbortSignal, up?: () => void): AsyncGenerator<WatchMessage> {
  const messages = new Messages(signal);
  await (await served()).watch(query, from, messages.sink);
  up?.();
  yield* messages;
}
