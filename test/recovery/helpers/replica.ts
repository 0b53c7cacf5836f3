import { Redis } from 'ioredis';
import { expect, inject, onTestFinished } from 'vitest';
import { sseFrames } from '../../../src/http/replies/sse-frames.js';
import { decodeDescribed } from '../../../src/redis/scripts/codec.js';
import type { Keys } from '../../../src/redis/scripts/keys.js';
import { openReaderConnection, openStore } from '../../../src/redis/open-store.js';
import { Reader } from '../../../src/redis/follow/reader.js';
import { serve } from '../../../src/redis/serve.js';
import { parseRedisUrl } from '../../../src/redis/connect/url.js';
import { logRecord } from '../../../src/registry/log/record.js';
import { View } from '../../../src/registry/view/view.js';
import { WatchHub } from '../../../src/registry/watch/hub.js';
import { freshPrefix, silent } from '../../helpers/gateway.js';
import { openGate } from '../../helpers/redis-gate.js';
import { readStore } from '../../helpers/store.js';
import { until } from '../../helpers/until.js';
import type { LoadReason } from '../../../src/redis/load/load-log.js';

export const ALL = { limit: 10_000 };

/** A store without a view, and a client beside it. Cleaned when the test is over. */
export async function openBare(prefix = freshPrefix(), redisUrl = inject('redisUrl')) {
  const store = await openStore({ target: parseRedisUrl(redisUrl) }, { prefix, eventsMax: 50_000, plainLua: false }, silent);
  const raw = new Redis(redisUrl);
  raw.on('error', () => undefined);
  onTestFinished(async () => {
    const left = await raw.keys(`${prefix}*`).catch(() => []);
    if (left.length > 0) await raw.del(left).catch(() => 0);
    raw.disconnect();
    store.connection.disconnect();
  });
  return { store, raw, keys: store.keys, prefix, redisUrl };
}
export type Bare = Awaited<ReturnType<typeof openBare>>;

export interface ReplicaSetup {
  /** False: it is one of many, and waits until the epoch is settled. */
  ownStore?: boolean;
}

/** A replica in this process: its writes go straight to Redis, what it reads comes through a gate. */
export async function openReplica({ prefix, redisUrl }: Bare, { ownStore = true }: ReplicaSetup = {}) {
  const target = parseRedisUrl(redisUrl);
  const gate = await openGate(Number(new URL(redisUrl).port));
  const store = await openStore({ target }, { prefix, eventsMax: 50_000, plainLua: false }, silent);
  const readTarget = { target: parseRedisUrl(`redis://127.0.0.1:${gate.port}`) };
  const connection = await openReaderConnection(readTarget, silent);
  const view = new View({ hub: new WatchHub(sseFrames, { ended: () => undefined }), maxStaleMs: 3_600_000 });
  const seen = { loads: [] as LoadReason[], recoveries: 0, divergences: [] as string[], kinds: [] as string[] };
  const observer = {
    reachable: () => undefined,
    applied: ({ kind }: { kind: string | undefined }) => void seen.kinds.push(kind ?? 'unknown'),
    loaded: (reason: LoadReason) => void seen.loads.push(reason),
    recovered: () => void seen.recoveries++,
    diverged: (reason: string) => void seen.divergences.push(reason),
  };
  const reader = new Reader({ ...store, connection }, await openReaderConnection(readTarget, silent), view, { offlineMs: 300_000, ownStore, observer }, silent);
  await reader.start();
  let closed = false;
  const close = async () => {
    if (closed) return;
    closed = true;
    view.end();
    await reader.stop();
    store.connection.disconnect();
    await gate.close();
  };
  onTestFinished(close);
  if (ownStore) await until(() => view.loaded);
  return { view, reader, store, gate, seen, registry: serve(store, view), close };
}
export type Replica = Awaited<ReturnType<typeof openReplica>>;

/** So many replicas of one store that has been there for long: nobody is in grace. */
export async function openReplicas(count: number, redisUrl?: string) {
  const bare = await openBare(undefined, redisUrl);
  await bare.raw.set(bare.keys.alive, Date.now());
  const replicas = await Promise.all(Array.from({ length: count }, () => openReplica(bare)));
  return { ...bare, replicas };
}

/** Instances of a view by id: everything that watchers and answers say of them, heartbeats aside. */
export const contentOf = (view: View) => new Map([...view.table.members.values()].map(({ record }) => [record.instanceId, record.head] as const));

/** Ids that the answers show. */
export const shownBy = (view: View) => view.answer(ALL).read().instances.map(({ instanceId }) => instanceId);

/** Resolves when all views have read everything and given back what was lost; then all of them say what Redis says. */
export async function expectSettled(raw: Redis, keys: Keys, replicas: Replica[], withinMs = 10_000) {
  await until(async () => {
    const { records, leases } = await readStore(raw, keys);
    const stored = new Map([...records].map(([id, fields]) => [id, logRecord(decodeDescribed(fields)).head] as const));
    const placed = [...records.values()].map(({ type, group, instanceId }) => `${type}:${group}:${instanceId}`).sort();
    expect([...leases.keys()].sort(), 'leases and records').toEqual(placed);
    const [epoch, head] = await raw.hmget(keys.epoch, 'id', 'head');
    for (const { view } of replicas) {
      expect(view.staleMs, 'a fresh view').toBeUndefined();
      expect(view.table.position, 'read to the head').toEqual({ epoch, id: head ?? '' });
      expect(view.pending.size, 'writes that nobody has read').toBe(0);
      expect([...contentOf(view)].sort(), 'the view and Redis').toEqual([...stored].sort());
    }
    const tags = new Set(replicas.map(({ view }) => view.answer(ALL).etag));
    expect([...tags], 'one tag').toHaveLength(1);
    return true;
  }, withinMs, 100);
}
