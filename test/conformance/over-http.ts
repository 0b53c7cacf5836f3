import type { EventsReply, GroupsReply, Instance, Problem } from '../../src/contract/index.js';
import { RegistryError } from '../../src/registry/errors.js';
import type { Freshness } from '../../src/registry/queries.js';
import type { BeatResult, Page, Registry } from '../../src/registry/registry.js';
import { revisionOf } from '../../src/registry/revision.js';
import { Messages } from './frames.js';

/** The registry as a client has it that only speaks HTTP. */
export function overHttp(base: string, token: string): Registry {
  const send = async (method: string, path: string, body?: unknown, headers: Record<string, string> = {}, signal?: AbortSignal) => {
    const json = body === undefined ? {} : { 'content-type': 'application/json' };
    const reply = await fetch(`${base}/sd/v1${path}`, { method, headers: { 'x-api-token': token, ...json, ...headers }, body: body === undefined ? null : JSON.stringify(body), signal: signal ?? null });
    if (reply.ok) return reply;
    const { code, detail } = (await reply.json()) as Problem;
    throw new RegistryError(code, detail);
  };
  const read = async <T>(path: string, query: Record<string, string | undefined>) => {
    const asked = new URLSearchParams(Object.entries(query).filter((pair): pair is [string, string] => pair[1] !== undefined));
    const reply = await send('GET', `${path}?${asked}`);
    return { body: (await reply.json()) as T, certainty: certaintyOf(reply), revision: reply.headers.get('x-revision') ?? '', etag: reply.headers.get('etag') ?? '' };
  };

  return {
    register: async (registration) => {
      const reply = await send('POST', '/instances', registration);
      const { revision } = (await reply.json()) as { revision: string };
      return { outcome: reply.status === 201 ? 'created' : 'known', revision };
    },
    heartbeat: async (beats) => {
      const { results, revision = '' } = (await (await send('POST', '/heartbeats', beats)).json()) as { results: { status: number }[]; revision?: string };
      return results.map((result) => (result.status === 200 ? { status: 200, revision, expiresAtMs: NaN, ttlMs: NaN } : result) as BeatResult);
    },
    patch: async (id, patch) => {
      const reply = await send('PATCH', `/instances/${id}`, patch);
      return { instance: (await reply.json()) as Instance, revision: reply.headers.get('x-revision') ?? '' };
    },
    remove: async (id, guard) => (await send('DELETE', `/instances/${id}?${new URLSearchParams(guard as Record<string, string>)}`)).headers.get('x-revision') ?? '',
    release: async ({ type, group }) => ((await (await send('POST', `/groups/${type}/${group}/evict`)).json()) as { released: boolean }).released,
    find: async (id, need) => {
      try {
        const { body, certainty, revision } = await read<Instance>(`/instances/${id}`, freshness(need));
        return { found: { instance: body, revision }, ...certainty };
      } catch (error) {
        if (error instanceof RegistryError && error.code === 'instance_not_found') return { found: undefined, staleMs: undefined, recoveringMs: undefined };
        throw error;
      }
    },
    discover: async ({ type, group, statuses, labels = {}, after, limit }, need) => {
      const chosen = Object.fromEntries(Object.entries(labels).map(([key, value]) => [`label.${key}`, value]));
      const { body, certainty, revision, etag } = await read<Pick<Page, 'instances' | 'next'>>('/instances', { type, group, status: statuses?.join(','), after, limit: String(limit), ...chosen, ...freshness(need) });
      return { ...body, revision, etag, ...certainty };
    },
    groups: async (need) => {
      const { body, certainty } = await read<GroupsReply>('/groups', freshness(need));
      return { ...body, ...certainty };
    },
    history: async ({ type, group, instanceId, kinds, after, before, limit }) => {
      const query = { type, group, instanceId, kind: kinds?.join(','), after: after && revisionOf(after), before: before && revisionOf(before), limit: String(limit) };
      return (await read<EventsReply>('/events', query)).body;
    },
    watch: (query, from, signal) => {
      const messages = new Messages();
      const asked = new URLSearchParams(Object.entries(query).map(([name, value]) => [name, String(value)]));
      void (async () => {
        try {
          const reply = await send('GET', `/watch?${asked}`, undefined, from === undefined ? {} : { 'last-event-id': from }, signal);
          for await (const text of (reply.body as ReadableStream<Uint8Array>).pipeThrough(new TextDecoderStream() as never) as AsyncIterable<string>) messages.push(text);
        } catch (error) {
          if (!signal.aborted) throw error;
        } finally {
          messages.end();
        }
      })();
      return messages;
    },
  };
}

const freshness = ({ minRevision, strong }: Freshness = {}) => ({ minRevision, consistency: strong ? 'strong' : undefined });

function certaintyOf({ headers }: Response) {
  const msOf = (name: string) => (headers.has(name) ? Number(headers.get(name)) * 1000 : undefined);
  return { staleMs: msOf('x-stale-seconds'), recoveringMs: msOf('x-recovering') };
}
