import { expect, inject, onTestFinished } from 'vitest';
import { sseFrames } from '../../src/http/replies/sse-frames.js';
import { openReaderConnection } from '../../src/redis/open-store.js';
import { Reader } from '../../src/redis/follow/reader.js';
import { serve } from '../../src/redis/serve.js';
import type { Store } from '../../src/redis/scripts/store.js';
import { parseRedisUrl } from '../../src/redis/connect/url.js';
import type { ServedRegistry } from '../../src/registry/served/served-registry.js';
import { View } from '../../src/registry/view/view.js';
import { WatchHub } from '../../src/registry/watch/hub.js';
import { openRegistry, silent, type StoreSetup } from './gateway.js';
import { openGate } from './redis-gate.js';
import { startRedis } from './redis.js';
import type { Frame } from './sse.js';
import { CALLER, complete, readStore } from './store.js';
import { until } from './until.js';
import { openView } from './view.js';

export type Opened = Awaited<ReturnType<typeof openRegistry>>;
export const ALL = { limit: 10_000 };
export const names = (count: number, stem = 'i') => Array.from({ length: count }, (_, i) => `${stem}-${i}`);
export const registerAll = (registry: ServedRegistry, ids: string[], ttlSeconds = 30) =>
  Promise.all(ids.map((instanceId, i) => registry.register(complete({ instanceId, group: `kr-${i % 3}`, ttlSeconds }), CALLER)));
export const idsOf = (view: View) => view.answer(ALL).read().instances.map(({ instanceId }) => instanceId).sort();

/** All that a view knows, but for times that heartbeats may move on meanwhile. */
export const pictureOf = (view: View) => ({
  etag: view.answer(ALL).etag,
  groups: view.groups.list(),
  members: [...view.table.members.values()].map(({ record: { head }, changedBy, standing }) => ({ head, changedBy, standing })).sort((a, b) => (a.head < b.head ? -1 : 1)),
  departed: [...view.table.departed].map(({ kind, change: { id, record: { instanceId } } }) => `${id} ${kind} ${instanceId}`),
  revision: view.revision,
});

/** The view is what one is that is loaded now, and what Redis says. */
export async function expectAsFresh({ store, raw, keys }: Opened, view: View, url = inject('redisUrl')) {
  const fresh = await openView(store, { target: parseRedisUrl(url) });
  await until(() => view.revision === fresh.view.revision);
  const [mine, theirs] = [pictureOf(view), pictureOf(fresh.view)];
  // Who was last changed in an epoch that is over: when is only known to those who were there.
  theirs.members.forEach(({ head, changedBy }) => {
    const same = mine.members.find((member) => member.head === head);
    if (changedBy === '' && same) same.changedBy = '';
  });
  expect(mine).toEqual(theirs);
  const { leases } = await readStore(raw, keys);
  expect(idsOf(view)).toEqual([...leases.keys()].map((member) => member.split(':')[2]).sort());
  await fresh.close();
}

export const instancesIn = (frame: Frame | undefined) => (frame?.json<{ instances: { instanceId: string }[] }>().instances ?? []).map(({ instanceId }) => instanceId).sort();

/** Looks at the view all the time: how few it showed, how stale it said it was. */
export function observe(view: View) {
  const seen = { fewest: Infinity, staleMs: 0, refused: 0 };
  const timer = setInterval(() => {
    try {
      seen.fewest = Math.min(seen.fewest, view.answer(ALL).read().instances.length);
      seen.staleMs = Math.max(seen.staleMs, view.staleMs ?? 0);
    } catch {
      seen.refused++;
    }
  }, 5);
  onTestFinished(() => clearInterval(timer));
  return seen;
}

/** A second view of the same store, behind a gate. */
export async function openGated(opened: Opened, url = inject('redisUrl')) {
  const gate = await openGate(Number(new URL(url).port));
  onTestFinished(gate.close);
  const gated = await openView(opened.store, { target: parseRedisUrl(`redis://127.0.0.1:${gate.port}`) });
  return { gate, ...gated, registry: serve(opened.store, gated.view) };
}

/** As a replica over an external Redis has it: a young epoch is not believed at once. */
export async function openCautious(store: Store, url: string) {
  const config = { target: parseRedisUrl(url) };
  const view = new View({ hub: new WatchHub(sseFrames, { ended: () => undefined }), maxStaleMs: 3_600_000 });
  const observer = { reachable: () => undefined, applied: () => undefined, loaded: () => undefined, recovered: () => undefined, diverged: () => undefined };
  const source = { ...store, connection: await openReaderConnection(config, silent) };
  const reader = new Reader(source, await openReaderConnection(config, silent), view, { offlineMs: 300_000, ownStore: false, observer }, silent);
  await reader.start();
  onTestFinished(async () => {
    view.end();
    await reader.stop();
  });
  await until(() => view.loaded);
  return { view, reader };
}

export async function openOwn(args: string[] = [], setup: StoreSetup = {}) {
  const redis = await startRedis(args);
  onTestFinished(redis.stop);
  return { redis, ...(await openRegistry({ ...setup, redisUrl: redis.url })) };
}
