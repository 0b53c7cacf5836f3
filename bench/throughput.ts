// `npm run bench`: what one gateway process does beside a bare Fastify route, in alternating rounds on this machine.
// Needs `wrk` and `redis-server` (Debian's packages). Bounded: ROUNDS + 1 times seven loads of SECONDS each.
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { openSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { freePort } from '../test/helpers/ports.js';
import { startRedis } from '../test/helpers/redis.js';
import { until } from '../test/helpers/until.js';

const ROUNDS = Number(process.env.ROUNDS ?? 5);
const SECONDS = Number(process.env.SECONDS ?? 3);
const CONNECTIONS = 128;
const POOL = 1000;
const TOKEN = 'bench-token-of-this-run';

const verbs = ['plain', 'heartbeat', 'register'] as const;
/** A GET of a route that does nothing; then each verb's requests, to a route that does nothing and to the gateway. */
const loads = ['get', ...verbs.flatMap((verb) => [`bare ${verb}`, verb] as const)] as const;
type Load = (typeof loads)[number];

function wrk(load: Load, url: string, run: string): number {
  const args = ['-t1', `-c${CONNECTIONS}`, `-d${SECONDS}s`, '-s', `bench/wrk/${load.replace('bare ', '')}.lua`, url];
  const output = execFileSync('wrk', args, { encoding: 'utf8', env: { ...process.env, TOKEN, RUN: run, POOL: String(POOL) } });
  const refused = Number(/NON2XX (\d+)/.exec(output)?.[1] ?? NaN);
  if (refused !== 0) throw new Error(`${load}: ${refused} requests were refused\n${output}`);
  return Number(/Requests\/sec:\s+([\d.]+)/.exec(output)?.[1]);
}

async function fillPool(url: string) {
  for (let i = 0; i < POOL; i++) {
    const body = JSON.stringify({ instanceId: `pool-${i}`, type: 'game', group: 'kr-1', hostname: `game-${i}`, ttlSeconds: 300 });
    const reply = await fetch(`${url}/sd/v1/instances`, { method: 'POST', headers: { 'X-API-Token': TOKEN, 'Content-Type': 'application/json' }, body });
    if (!reply.ok) throw new Error(await reply.text());
  }
}

async function waitFor(url: string) {
  await until(async () => (await fetch(url)).ok, 10_000);
}

const median = (values: number[]) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] as number;

const children: ChildProcess[] = [];
const redis = await startRedis();
const raw = new Redis(redis.url);
try {
  const log = join(tmpdir(), `rollcall-bench-${process.pid}.log`);
  const [gatewayPort, barePort] = [await freePort(), await freePort()];
  const env = { ...process.env, NODE_ENV: 'production', HOST: '127.0.0.1', PORT: String(gatewayPort), REDIS_URL: redis.url, API_TOKENS: TOKEN };
  children.push(spawn('node', ['dist/server.js'], { env, stdio: ['ignore', openSync(log, 'w'), 'inherit'] }));
  children.push(spawn('node', ['bench/bare.mjs', String(barePort)], { stdio: 'inherit' }));
  const url = `http://127.0.0.1:${gatewayPort}`;
  const bare = `http://127.0.0.1:${barePort}`;
  await Promise.all([waitFor(`${url}/readyz`), waitFor(bare)]);

  const rates = Object.fromEntries(loads.map((load) => [load, [] as number[]])) as Record<Load, number[]>;
  for (let round = 0; round <= ROUNDS; round++) {
    await raw.flushall();
    await fillPool(url);
    for (const load of loads) {
      const rate = wrk(load, load === 'get' || load.startsWith('bare') ? bare : url, `r${round}`);
      if (round > 0) rates[load].push(rate); // round 0 warms up
    }
    if (round > 0) process.stdout.write(`round ${round}: ${loads.map((load) => `${load} ${Math.round(rates[load].at(-1) ?? 0)}/s`).join('  ')}\n`);
  }
  const spread = (values: number[]) => `${Math.round(median(values))}/s (${Math.round(Math.min(...values))} to ${Math.round(Math.max(...values))})`;
  const ratio = (load: Load, to: Load) => median(rates[load].map((rate, i) => rate / (rates[to][i] as number))).toFixed(2);
  process.stdout.write(`a GET that does nothing: ${spread(rates.get)}\n`);
  for (const verb of verbs) {
    process.stdout.write(`${verb}: ${spread(rates[verb])}; ${ratio(verb, `bare ${verb}`)} of the same requests to a route that does nothing, ${ratio(verb, 'get')} of the GET\n`);
  }
} finally {
  for (const child of children) child.kill();
  raw.disconnect();
  await redis.stop();
}
