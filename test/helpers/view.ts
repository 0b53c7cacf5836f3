import { onTestFinished } from 'vitest';
import { pino } from 'pino';
import { sseFrames } from '../../src/http/replies/sse-frames.js';
import type { ConnectionConfig } from '../../src/redis/connect/connection.js';
import { openReaderConnection } from '../../src/redis/open-store.js';
import { Reader } from '../../src/redis/follow/reader.js';
import type { Store } from '../../src/redis/scripts/store.js';
import type { Freshness } from '../../src/registry/queries.js';
import type { ServedRegistry } from '../../src/registry/served/served-registry.js';
import { View } from '../../src/registry/view/view.js';
import { WatchHub } from '../../src/registry/watch/hub.js';
import { until } from './until.js';

const silent = pino({ level: 'silent' });

/** A view that nobody feeds yet. */
export const emptyView = (maxStaleMs = 3_600_000) => new View({ hub: new WatchHub(sseFrames, { ended: () => undefined }), maxStaleMs });

/** A view of a store, as a replica has one, loaded. A fresh prefix is a fresh epoch: nobody else knew what was in it. */
export async function openView(store: Store, config: ConnectionConfig, cleanup: (close: () => Promise<void>) => void = onTestFinished, maxStaleMs?: number, loaded: (reason: string) => unknown = () => undefined) {
  const view = emptyView(maxStaleMs);
  const connection = await openReaderConnection(config, silent);
  const observer = { reachable: () => undefined, applied: () => undefined, loaded, recovered: () => undefined, diverged: () => undefined };
  const reader = new Reader({ ...store, connection }, await openReaderConnection(config, silent), view, { offlineMs: 300_000, ownStore: true, observer }, silent);
  await reader.start();
  const close = async () => {
    view.end();
    await reader.stop();
  };
  cleanup(close);
  await until(() => view.loaded, 30_000);
  return { view, reader, close };
}

/**
 * The same registry, of which every read is strong unless it says otherwise: most tests ask what a write has done, not how
 * soon it is seen.
 */
export function strongByDefault(registry: ServedRegistry): ServedRegistry {
  const strong = (need: Freshness = {}) => (need.minRevision === undefined ? { ...need, strong: true } : need);
  const own = Object.create(registry) as ServedRegistry;
  own.find = (id, need) => registry.find(id, strong(need));
  own.discover = (query, need, poll) => registry.discover(query, strong(need), poll);
  own.groups = (need, scope) => registry.groups(strong(need), scope);
  for (const verb of ['register', 'heartbeat', 'patch', 'remove', 'locate', 'watch', 'history'] as const) {
    own[verb] = registry[verb].bind(registry) as never;
  }
  return own;
}
