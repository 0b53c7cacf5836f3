import { CHANGE_KINDS, MAX_BEATS } from '../../contract/limits.js';
import type { Change, DiscoverReply, EventsReply, GroupsReply, HeartbeatReply, Instance, LockReply, LockState } from '../../contract/index.js';
import type { BeatResult, Certainty, WatchMessage } from '../../registry/registry.js';
import type { Freshness, WatchQuery } from '../../registry/queries.js';
import type { Announced, Backend } from '../base/backend.js';
import { RollcallError } from '../base/errors.js';
import type { Locks } from '../../registry/locks.js';
import { eventsOf } from './event-stream.js';
import type { Call, Reply, Transport } from './transport.js';

const EVENTS: readonly string[] = [...CHANGE_KINDS, 'snapshot', 'bookmark', 'reset', 'performance'];

const part = encodeURIComponent;
const freshness = ({ minRevision, strong }: Freshness = {}) => ({ minRevision, consistency: strong ? 'strong' : undefined });
const labelsOf = (labels: Record<string, string> = {}) => Object.fromEntries(Object.entries(labels).map(([key, value]) => [`label.${key}`, value]));

type Send = (call: Call) => Promise<Reply>;

/** The registry over the HTTP API (openapi.yaml). Nothing of Node is in it. */
export function httpBackend(transport: Transport): Backend {
  const send = (call: Call) => transport.send(call);
  return {
    ...writes(send),
    ...reads(send),
    watch: (...args) => watchOnce(transport, ...args),
    locks: locksOver(send),
    close: () => Promise.resolve(),
  };
}

function writes(send: Send): Pick<Backend, 'announce' | 'beat' | 'register' | 'heartbeat' | 'patch' | 'remove' | 'release'> {
  const bodyOf = async <T>(call: Call) => (await send(call)).body as T;
  async function batch(beats: object[]): Promise<BeatResult[]> {
    const { results, revision = '' } = await bodyOf<{ results: { status: number }[]; revision?: string }>({ method: 'POST', path: '/heartbeats', body: beats });
    return results.map((result) => (result.status === 200 ? { status: 200, revision, expiresAtMs: NaN, ttlMs: NaN } : result) as BeatResult);
  }

  return {
    announce: (registration) => bodyOf<Announced>({ method: 'POST', path: '/instances', body: registration }),
    beat: ({ instanceId, home: _home, ...beat }) => bodyOf<HeartbeatReply>({ method: 'POST', path: `/instances/${part(instanceId)}/heartbeat`, body: beat }),
    register: async (registration) => {
      const { status, body } = await send({ method: 'POST', path: '/instances', body: registration });
      return { outcome: status === 201 ? 'created' : 'known', revision: (body as Announced).revision };
    },
    heartbeat: async (beats) => {
      const results: BeatResult[] = [];
      for (let from = 0; from < beats.length; from += MAX_BEATS) results.push(...(await batch(beats.slice(from, from + MAX_BEATS).map(({ home: _home, ...beat }) => beat))));
      return results;
    },
    patch: async (id, patch) => {
      const { headers, body } = await send({ method: 'PATCH', path: `/instances/${part(id)}`, body: patch });
      return { instance: body as Instance, revision: headers.get('x-revision') ?? '' };
    },
    remove: async (id, { type, group, incarnation }) => {
      const { headers } = await send({ method: 'DELETE', path: `/instances/${part(id)}`, query: { type, group, incarnation } });
      return headers.get('x-revision') ?? '';
    },
    release: async ({ type, group }) => (await bodyOf<{ released: boolean }>({ method: 'POST', path: `/groups/${part(type)}/${part(group)}/evict` })).released,
  };
}

function reads(send: Send): Pick<Backend, 'find' | 'discover' | 'groups' | 'history'> {
  return {
    find: async (id, need) => {
      try {
        const reply = await send({ path: `/instances/${part(id)}`, query: freshness(need) });
        return { found: { instance: reply.body as Instance, revision: reply.headers.get('x-revision') ?? '' }, ...certaintyOf(reply) };
      } catch (error) {
        if (error instanceof RollcallError && error.code === 'instance_not_found') return { found: undefined, staleMs: undefined, recoveringMs: undefined };
        throw error;
      }
    },
    discover: async ({ type, group, statuses, labels, after, limit, offline, healthCheck }, need) => {
      const query = { type, group, status: statuses?.join(','), after, limit: String(limit), include: offline ? 'offline' : undefined, healthCheck: healthCheck ? 'true' : undefined, ...labelsOf(labels), ...freshness(need) };
      const reply = await send({ path: '/instances', query });
      const { headers } = reply;
      return { ...(reply.body as DiscoverReply), revision: headers.get('x-revision') ?? '', etag: headers.get('etag') ?? '', ...certaintyOf(reply) };
    },
    groups: async (need) => {
      const reply = await send({ path: '/groups', query: freshness(need) });
      return { ...(reply.body as GroupsReply), ...certaintyOf(reply) };
    },
    history: async ({ type, group, instanceId, kinds, after, before, limit }) => {
      const revisionOf = (position: { epoch: string; id: string } | undefined) => position && `${position.epoch}.${position.id}`;
      const query = { type, group, instanceId, kind: kinds?.join(','), after: revisionOf(after), before: revisionOf(before), limit: String(limit) };
      return (await send({ path: '/events', query })).body as EventsReply;
    },
  };
}

function locksOver(send: Send): Locks {
  const at = (name: string) => `/locks/${part(name)}`;
  return {
    acquire: async (name, { owner, ttlMs, lease, waitMs, signal }) => {
      const body = { owner, ttlSeconds: ttlMs / 1000, lease, waitMs };
      return (await send({ method: 'POST', path: at(name), body, signal, waitMs })).body as LockReply;
    },
    renew: async (name, lease, ttlMs) => (await send({ method: 'POST', path: `${at(name)}/renew`, body: { lease, ttlSeconds: ttlMs / 1000 } })).body as LockReply,
    release: async (name, lease) => void (await send({ method: 'DELETE', path: at(name), query: { lease } })),
    look: async (name) => (await send({ path: at(name) })).body as LockState,
  };
}

/** One stream, until it ends. Events that this version does not know are left out, as the API asks. */
async function* watchOnce(transport: Transport, { type, group, performance }: WatchQuery, from: string | undefined, signal: AbortSignal, opened?: () => void): AsyncGenerator<WatchMessage> {
  const query = { type, group, performance: performance ? 'true' : undefined };
  try {
    const body = await transport.open({ path: '/watch', query, headers: { accept: 'text/event-stream', ...(from !== undefined && { 'last-event-id': from }) } }, signal);
    opened?.();
    for await (const { event = '', id, data } of eventsOf(body, signal)) {
      if (EVENTS.includes(event)) yield { ...(id !== undefined && id !== '' && { id }), event, data: JSON.parse(data) as Change } as WatchMessage;
    }
  } catch (error) {
    if (!signal.aborted) throw error;
  }
}

function certaintyOf({ headers }: Reply): Certainty {
  const msOf = (name: string) => (headers.has(name) ? Number(headers.get(name)) * 1000 : undefined);
  return { staleMs: msOf('x-stale-seconds'), recoveringMs: msOf('x-recovering') };
}
