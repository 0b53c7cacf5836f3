import { setTimeout as sleep } from 'node:timers/promises';
import { Client, pick, type Call } from './client.js';
import type { SlowFleet } from './slow-fleet.js';

export const HOMES = [
  { type: 'game', group: 'kr-1' },
  { type: 'game', group: 'eu-1' },
  { type: 'chat', group: 'kr-1' },
];
/** Little happens here: who watches it hears bookmarks. */
export const QUIET = { type: 'auth', group: 'kr-1' };
const STATUSES = ['ready', 'initializing', 'shutting_down', 'error'];

export interface Writing {
  writers?: number;
  /** Ids that all writers share. */
  ids?: number;
  pauseMs: number;
  /** Part of the writes that register an instance that nobody ever renews: it expires. */
  brief?: number;
}

/** Callers who change this and that through whichever replica, until they are stopped. Whatever is answered, they go on. */
export function startWriters(fleet: SlowFleet, { writers = 6, ids = 120, pauseMs, brief = 0 }: Writing) {
  let stopped = false;
  let made = 0;
  const unexpected: string[] = [];
  const next = (): [path: string, call: Call] => {
    const id = `id-${Math.floor(Math.random() * ids)}`;
    const kind = Math.random();
    if (kind < brief) return ['/instances', { method: 'POST', body: { ...registrationOf(`brief-${made++}`), ttlSeconds: 1 } }];
    if (made++ % 100 === 0) return ['/instances', { method: 'POST', body: { ...registrationOf(`quiet-${made}`), ...QUIET } }];
    if (kind < 0.35) return ['/instances', { method: 'POST', body: registrationOf(id) }];
    if (kind < 0.5) return [`/instances/${id}`, { method: 'DELETE' }];
    if (kind < 0.7) return [`/instances/${id}`, { method: 'PATCH', body: { labels: { version: `1.${made % 7}`, old: null }, cordoned: kind < 0.52 } }];
    const performance = { tps: Math.round(Math.random() * 600) / 10 };
    return [`/instances/${id}/heartbeat`, { method: 'POST', body: { performance, ...(kind < 0.9 && { status: pick(STATUSES), customState: `map ${made % 5}` }) } }];
  };
  const write = async () => {
    const http = new Client();
    while (!stopped) {
      const [path, call] = next();
      const reply = await http.call(pick(fleet.members).replica.url, path, call).catch(() => undefined); // one that is down: another time
      if (reply && ![200, 201, 204, 404, 503].includes(reply.status)) unexpected.push(`${call.method} ${path} ${reply.status} ${reply.text}`);
      await sleep(Math.random() * 2 * pauseMs);
    }
    http.close();
  };
  const writing = Array.from({ length: writers }, write);
  return {
    unexpected,
    stop: async () => {
      stopped = true;
      await Promise.all(writing);
    },
  };
}

/** A new life each time, often somewhere else. */
const registrationOf = (instanceId: string) => ({
  ...pick(HOMES),
  instanceId,
  hostname: 'h.example.com',
  ports: [{ name: 'main', port: 1 + Math.floor(Math.random() * 9000) }],
  labels: { old: 'yes' },
  ttlSeconds: 600,
});
