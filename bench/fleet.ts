// `npx tsx bench/fleet.ts`: INSTANCES live instances that beat every 10 s through the batch call of one gateway, for SECONDS, with
// somebody discovering all the while. Twice the gateway is stopped while more is changed than the log keeps, so that it reads the
// whole registry anew; at the end another is started. Nobody may expire, and an answer that lacks somebody says that it is stale.
import { loadavg, setPriority } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { until } from '../test/helpers/until.js';
import { HEADERS, instance, LOW, openFiller, pace, percentile, print, rssMb, startRig, type Process } from './rig.js';

const INSTANCES = Number(process.env.INSTANCES ?? 100_000);
const SECONDS = Number(process.env.SECONDS ?? 180);
/** Parts of the run after which the registry is read anew. */
const RELOADS_AFTER = [1 / 3, 2 / 3];
const TTL_SECONDS = 30;
const INTERVAL_SECONDS = 10;
const BATCH = 1000;
const PER_GROUP = 100;
const DISCOVERS_PER_SECOND = 50;
/** What the log keeps for a reload's sake, and what is changed then. */
const SHORT_LOG = 5000;
const CHANGES = 12_000;
const LONG_MS = 120_000;

const rig = await startRig();
const filler = await openFiller(rig.redisUrl);
const changer = await openFiller(rig.redisUrl, SHORT_LOG);
try {
  const gateway = await rig.startGateway();
  setPriority(LOW);
  await filler.fill('near', INSTANCES, PER_GROUP, TTL_SECONDS);
  const batches = INSTANCES / BATCH;
  const results = new Map<number, number>();
  let stopped = false;
  const beats = pace(batches / INTERVAL_SECONDS, async (n) => {
    if (stopped) return;
    const body = JSON.stringify(Array.from({ length: BATCH }, (_, i) => ({ instanceId: `near-${(n % batches) * BATCH + i}`, performance: { tps: n % 60 } })));
    const reply = await fetch(`${gateway.url}/sd/v1/heartbeats`, { method: 'POST', headers: HEADERS, body });
    if (!reply.ok) throw new Error(await reply.text());
    for (const { status } of ((await reply.json()) as { results: { status: number }[] }).results) results.set(status, (results.get(status) ?? 0) + 1);
  });
  const took: number[] = [];
  const short = { marked: 0, unmarked: 0 };
  let most = 0;
  const discovers = pace(DISCOVERS_PER_SECOND, async (n) => {
    if (stopped) return;
    const startedAt = performance.now();
    const reply = await fetch(`${gateway.url}/sd/v1/instances?type=game&group=near-${(n * 7) % (INSTANCES / PER_GROUP)}`, { headers: HEADERS });
    if (!reply.ok) throw new Error(await reply.text());
    const { instances } = (await reply.json()) as { instances: unknown[] };
    took.push(performance.now() - startedAt);
    if (instances.length !== PER_GROUP) short[reply.headers.has('x-stale-seconds') ? 'marked' : 'unmarked']++;
  });
  /** Everything is read anew, as after a pause in which the log ran away. */
  const reload = async (round: number) => {
    const before = await loads(gateway);
    stopped = true;
    process.kill(gateway.pid, 'SIGSTOP');
    const stoppedAt = performance.now();
    try {
      const changed = Array.from({ length: CHANGES }, (_, n) => n % INSTANCES);
      await changer.fillEach(changed.map((n) => ({ ...instance('near', n, PER_GROUP), ttlSeconds: TTL_SECONDS, customState: `round ${round}, ${Math.floor(n / INSTANCES)}` })));
    } finally {
      process.kill(gateway.pid, 'SIGCONT');
      stopped = false;
    }
    const silent = performance.now() - stoppedAt;
    const goesOnAt = performance.now();
    await until(async () => (await loads(gateway)) > before, LONG_MS, 200);
    const seconds = (performance.now() - goesOnAt) / 1000;
    await sleep(5000);
    print(`reload ${round}: stopped for ${(silent / 1000).toFixed(1)} s, read anew ${seconds.toFixed(1)} s after that; ${await memory(gateway)}; load ${load()}`);
  };
  await sleep(5000);
  print(`filled; ${await memory(gateway)}; load ${load()}`);
  for (let second = 0, reloads = 0; second < SECONDS; second++) {
    if (second >= SECONDS * (RELOADS_AFTER[reloads] ?? Infinity)) void reload(++reloads).catch((error: unknown) => print(String(error)));
    await sleep(1000);
    most = Math.max(most, rssMb(gateway));
  }
  const asked = discovers.stop();
  const last = await memory(gateway);
  const startedAt = performance.now();
  const restarted = await rig.startGateway();
  const ready = ((performance.now() - startedAt) / 1000).toFixed(1);
  const sent = beats.stop(); // they went on meanwhile: a start on a busy machine may take longer than a lease
  const expired = (await rig.raw.xrange('service:events', '-', '+')).filter(([, flat]) => flat[flat.indexOf('kind') + 1] === 'expired').length;
  print(`${INSTANCES} instances for ${SECONDS} s: ${sent.sent} batches (${sent.failed} failed), results ${JSON.stringify(Object.fromEntries(results))}, expired ${expired}`);
  print(`${asked.sent} discovers (${asked.failed} failed; short: ${short.unmarked} unmarked, ${short.marked} marked stale): p50 ${percentile(took, 0.5).toFixed(1)} ms, p99 ${percentile(took, 0.99).toFixed(1)} ms`);
  print(`loads ${await loads(gateway)}; at most ${most.toFixed(0)} MB; ${last}; another gateway ready after ${ready} s with ${rssMb(restarted).toFixed(0)} MB; load ${load()}`);
} finally {
  filler.close();
  changer.close();
  await rig.close();
}

async function metrics({ url }: Process): Promise<(name: string) => number> {
  const text = await (await fetch(`${url}/metrics`, { headers: HEADERS })).text();
  return (name) => [...text.matchAll(new RegExp(`^${name}(?:\\{.*\\})? (\\S+)$`, 'gm'))].reduce((sum, [, value]) => sum + Number(value), 0);
}

/** How often it has read the whole registry. */
async function loads(gateway: Process) {
  return (await metrics(gateway))('rollcall_view_loads_total');
}

async function memory(gateway: Process) {
  const value = await metrics(gateway);
  const mb = (name: string) => (value(name) / 1024 / 1024).toFixed(0);
  return `${rssMb(gateway).toFixed(0)} MB (heap ${mb('nodejs_heap_size_used_bytes')} of ${mb('nodejs_heap_size_total_bytes')}, outside ${mb('nodejs_external_memory_bytes')})`;
}

function load() {
  return (loadavg()[0] as number).toFixed(0);
}
