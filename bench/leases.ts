// `npx tsx bench/leases.ts`: 1,000 leases renewed at random phases, for two minutes, through a gateway that sweeps each
// second. Nobody may be evicted, and no answer of discover may leave anybody out. Bounded by SECONDS.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { freePort } from '../test/helpers/ports.js';
import { startRedis } from '../test/helpers/redis.js';
import { until } from '../test/helpers/until.js';

const SECONDS = Number(process.env.SECONDS ?? 120);
const INSTANCES = 1000;
const TTL_SECONDS = 6;
const TOKEN = 'bench-token-of-this-run';

const redis = await startRedis();
const raw = new Redis(redis.url);
const port = await freePort();
const url = `http://127.0.0.1:${port}`;
const env = { ...process.env, HOST: '127.0.0.1', PORT: String(port), REDIS_URL: redis.url, API_TOKENS: TOKEN, LOG_LEVEL: 'warn' };
const gateway = spawn('node', ['dist/server.js'], { env, stdio: 'inherit' });
const headers = { 'X-API-Token': TOKEN, 'Content-Type': 'application/json' };
const counts = { heartbeats: 0, refused: 0, discovers: 0, short: 0 };

async function live(id: string, until: number) {
  const body = JSON.stringify({ instanceId: id, type: 'game', group: 'kr-1', hostname: id, ttlSeconds: TTL_SECONDS });
  const reply = await fetch(`${url}/sd/v1/instances`, { method: 'POST', headers, body });
  if (!reply.ok) throw new Error(await reply.text());
  while (performance.now() < until) {
    await sleep(TTL_SECONDS * 1000 * (0.2 + 0.5 * Math.random())); // anywhere from a fifth to seven tenths of the lease
    const beat = await fetch(`${url}/sd/v1/instances/${id}/heartbeat`, { method: 'POST', headers: { 'X-API-Token': TOKEN } });
    counts.heartbeats++;
    if (!beat.ok) counts.refused++;
  }
}

try {
  await until(async () => (await fetch(`${url}/readyz`)).ok);
  const end = performance.now() + SECONDS * 1000;
  const all = Array.from({ length: INSTANCES }, (_, i) => live(`life-${i}`, end));
  await until(async () => (await raw.zcard('service:leases')) === INSTANCES);
  while (performance.now() < end - 500) {
    const found = await fetch(`${url}/sd/v1/instances?type=game&group=kr-1`, { headers: { 'X-API-Token': TOKEN } });
    counts.discovers++;
    if (((await found.json()) as { instances: unknown[] }).instances.length !== INSTANCES) counts.short++;
    await sleep(500);
  }
  await Promise.all(all);
  const kinds = (await raw.xrange('service:events', '-', '+')).map(([, fields]) => fields[fields.indexOf('kind') + 1]);
  const expired = kinds.filter((kind) => kind === 'expired').length;
  process.stdout.write(`${INSTANCES} leases of ${TTL_SECONDS} s for ${SECONDS} s: ${JSON.stringify(counts)}, expired ${expired}\n`);
  process.exitCode = expired + counts.refused + counts.short > 0 ? 1 : 0;
} finally {
  gateway.kill();
  await once(gateway, 'exit');
  raw.disconnect();
  await redis.stop();
}
