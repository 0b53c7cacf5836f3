// Written as somebody would who has nothing but openapi.yaml: test/generated-clients.test.ts generates, compiles and runs it.
import createClient from 'openapi-fetch';
import type { components, paths } from './schema.js';

type WatchEvent = components['schemas']['WatchEvent'];

export async function run(baseUrl: string, token: string) {
  const client = createClient<paths>({
    baseUrl,
    headers: { 'X-API-Token': token },
    querySerializer: { array: { style: 'form', explode: false } },
  });
  const registered = await client.POST('/sd/v1/instances', {
    body: { type: 'game', hostname: 'a.example.com', instanceId: 'of-openapi-fetch', labels: { zone: 'x' }, ports: [7777] },
  });
  if (!registered.data) throw new Error(registered.error.code);
  const { instanceId, incarnation, ttlSeconds } = registered.data;
  const path = { id: instanceId };
  const beat = await client.POST('/sd/v1/instances/{id}/heartbeat', { params: { path }, body: { incarnation } });
  const query = { type: 'game', label: { zone: 'x' }, status: ['ready' as const, 'initializing' as const] };
  const listed = await client.GET('/sd/v1/instances', { params: { query: { ...query, minRevision: registered.data.revision } } });
  const etag = listed.response.headers.get('etag') ?? '';
  const again = await client.GET('/sd/v1/instances', { params: { query, header: { 'If-None-Match': etag } } });
  const elsewhere = await client.GET('/sd/v1/instances', { params: { query: { label: { zone: 'y' } } } });
  const polled = await client.GET('/sd/v1/instances', { params: { query, header: { 'If-None-Match': 'W/"other"', Prefer: 'wait=1' } } });
  const events = await client.GET('/sd/v1/events', { params: { query: { kind: ['registered', 'held'] } } });
  const last = events.data?.events[0];
  const told: string | undefined = last === undefined ? undefined : 'instance' in last ? last.instance.hostname : last.hold.group;

  const missing = await client.POST('/sd/v1/instances/{id}/heartbeat', { params: { path: { id: 'nobody' } } });
  const wrong = await client.GET('/sd/v1/instances', { params: { query: { limit: 0 } } });
  const watched = await client.GET('/sd/v1/watch', { params: { query: {} }, parseAs: 'stream' });
  const first = watched.data && (await snapshotOf(watched.data as unknown as ReadableStream<Uint8Array>));

  return {
    ttlSeconds,
    expiresAt: beat.data?.expiresAt,
    listed: listed.data?.instances.map((one) => one.instanceId),
    again: again.response.status,
    elsewhere: elsewhere.data?.instances.length,
    polled: polled.data?.instances.length,
    told,
    errors: [missing.error?.code === 'instance_not_found', wrong.error?.errors?.[0]?.pointer],
    snapshot: first && 'instances' in first && first.instances.length,
  };
}

async function snapshotOf(stream: ReadableStream<Uint8Array>): Promise<WatchEvent | undefined> {
  const reader = stream.pipeThrough(new TextDecoderStream() as unknown as ReadableWritablePair<string, Uint8Array>).getReader();
  let text = '';
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return undefined;
    text += value;
    const [, data] = /^event: snapshot\ndata: (.*)\n\n/m.exec(text) ?? [];
    if (data === undefined) continue;
    await reader.cancel();
    return JSON.parse(data) as WatchEvent;
  }
}
