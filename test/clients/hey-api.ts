// Written as somebody would who has nothing but openapi.yaml: test/generated-clients.test.ts generates, compiles and runs it.
import { createClient } from './hey-api/client/index.js';
import { discoverInstances, heartbeat, listEvents, registerInstance, removeInstance, watchInstances, type Change, type WatchEvent } from './hey-api/index.js';

export async function run(baseUrl: string, token: string) {
  const client = createClient({ baseUrl, headers: { 'X-API-Token': token } });
  const about = { type: 'game', hostname: 'a.example.com', instanceId: 'of-hey-api', labels: { zone: 'z' } };
  const { data: registered, error } = await registerInstance({ client, body: about });
  if (!registered) throw new Error(error.code);
  const path = { id: registered.instanceId };
  const beat = await heartbeat({ client, path, body: { incarnation: registered.incarnation } });
  const query = { label: { zone: 'z' }, status: ['ready' as const, 'initializing' as const] };
  const listed = await discoverInstances({ client, query: { ...query, minRevision: registered.revision } });
  const headers = { 'If-None-Match': listed.response.headers.get('etag') ?? '' };
  const again = await discoverInstances({ client, query, headers });
  const elsewhere = await discoverInstances({ client, query: { label: { zone: 'y' } } });
  const events = await listEvents({ client, query: { kind: ['registered', 'held'], instanceId: path.id } });
  const missing = await heartbeat({ client, path: { id: 'nobody' } });

  const leaving = new AbortController();
  const { stream } = await watchInstances({ client, query: { type: 'game' }, signal: leaving.signal });
  const told: string[] = [];
  let removed = false;
  for await (const event of stream) {
    told.push(nameOf(event));
    if (!removed) await removeInstance({ client, path, query: { incarnation: registered.incarnation } });
    removed = true;
    if (told.at(-1) === 'removed of-hey-api') break;
  }
  leaving.abort();

  return {
    ttlSeconds: registered.ttlSeconds,
    expiresAt: beat.data?.expiresAt,
    listed: listed.data?.instances.map((one) => one.instanceId),
    again: again.response.status,
    elsewhere: elsewhere.data?.instances.length,
    kinds: events.data?.events.map(({ kind }) => kind),
    missing: missing.error?.code === 'instance_not_found',
    told,
  };
}

const isChange = (event: WatchEvent): event is Change => 'kind' in event;

function nameOf(event: WatchEvent): string {
  if (isChange(event)) return 'instance' in event ? `${event.kind} ${event.instance.instanceId}` : `${event.kind} ${event.hold.group}`;
  if ('reason' in event) return `reset ${event.reason}`;
  if ('instances' in event) return 'snapshot';
  return 'bookmark';
}
