import type { Client } from '../client/index.js';
import { table, type Screen } from './print.js';

interface Health {
  gateway: string;
  ready: boolean;
  /** Why not. */
  reason: string;
  version: string;
  /** How old its answers are, in seconds, where that is more than one. */
  staleSeconds: number | undefined;
  ms: number;
}

const WITHIN_MS = 3000;

/** A row for each gateway. True when all are ready. */
export async function health({ settings }: Client, out: Screen, coloured: boolean, json: boolean): Promise<boolean> {
  const all = await Promise.all(settings.baseURLs.map((url) => look(url, settings.apiToken)));
  const rows = all.map(({ gateway, ready, reason, version, staleSeconds, ms }) => [gateway, ready ? 'yes' : 'no', staleSeconds === undefined ? '-' : `${staleSeconds}s`, `${ms}ms`, version, reason]);
  out.write(json ? `${JSON.stringify(all, undefined, 2)}\n` : table([['GATEWAY', 'READY', 'STALE', 'LAG', 'VERSION', 'WHY'], ...rows], coloured));
  return all.every(({ ready }) => ready);
}

async function look(gateway: string, token: string | undefined): Promise<Health> {
  const from = performance.now();
  const ask = (path: string) => fetch(`${gateway}${path}`, { headers: token === undefined ? {} : { 'x-api-token': token }, signal: AbortSignal.timeout(WITHIN_MS) });
  try {
    const ready = await ask('/readyz');
    const ms = Math.round(performance.now() - from);
    const why = ready.ok ? '' : ((await ready.json()) as { detail?: string }).detail ?? `HTTP ${ready.status}`;
    const { version = '?' } = (await (await ask('/livez')).json()) as { version?: string };
    const list = await ask('/sd/v1/instances?limit=1');
    const stale = list.headers.get('x-stale-seconds');
    return { gateway, ready: ready.ok, reason: list.status === 401 ? 'the token is refused' : why, version, staleSeconds: stale === null ? undefined : Number(stale), ms };
  } catch (error) {
    const { message, cause } = error as Error;
    return { gateway, ready: false, reason: cause instanceof Error ? cause.message : message, version: '?', staleSeconds: undefined, ms: Math.round(performance.now() - from) };
  }
}
