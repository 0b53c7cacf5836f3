// `npx tsx bench/fleet.ts`: INSTANCES live instances that beat every 10 s through the batch call of one gateway, for SECONDS, with
// somebody discovering all the while. Nobody may expire.
import { setTimeout as sleep } from 'node:timers/promises';
import { HEADERS, openFiller, pace, percentile, print, rssMb, startRig } from './rig.js';

const INSTANCES = Number(process.env.INSTANCES ?? 100_000);
const SECONDS = Number(process.env.SECONDS ?? 180);
const TTL_SECONDS = 30;
const INTERVAL_SECONDS = 10;
const BATCH = 1000;
const DISCOVERS_PER_SECOND = 50;

const rig = await startRig();
const filler = await openFiller(rig.redisUrl);
try {
  const gateway = await rig.startGateway();
  await filler.fill('near', INSTANCES, 100, TTL_SECONDS);
  const batches = INSTANCES / BATCH;
  const results = new Map<number, number>();
  const beats = pace(batches / INTERVAL_SECONDS, async (n) => {
    const body = JSON.stringify(Array.from({ length: BATCH }, (_, i) => ({ instanceId: `near-${(n % batches) * BATCH + i}`, performance: { tps: n % 60 } })));
    const reply = await fetch(`${gateway.url}/sd/v1/heartbeats`, { method: 'POST', headers: HEADERS, body });
    if (!reply.ok) throw new Error(await reply.text());
    for (const { status } of ((await reply.json()) as { results: { status: number }[] }).results) results.set(status, (results.get(status) ?? 0) + 1);
  });
  const took: number[] = [];
  let short = 0;
  let rss = 0;
  const discovers = pace(DISCOVERS_PER_SECOND, async (n) => {
    const startedAt = performance.now();
    const reply = await fetch(`${gateway.url}/sd/v1/instances?type=game&group=near-${(n * 7) % (INSTANCES / 100)}`, { headers: HEADERS });
    const { instances } = (await reply.json()) as { instances: unknown[] };
    took.push(performance.now() - startedAt);
    if (instances.length !== 100) short++;
  });
  for (let second = 0; second < SECONDS; second++) {
    await sleep(1000);
    rss = Math.max(rss, rssMb(gateway));
  }
  const [sent, asked] = [beats.stop(), discovers.stop()];
  await sleep(1000);
  const expired = (await rig.raw.xrange('service:events', '-', '+')).filter(([, flat]) => flat[flat.indexOf('kind') + 1] === 'expired').length;
  print(`${INSTANCES} instances for ${SECONDS} s: ${sent.sent} batches (${sent.failed} failed), results ${JSON.stringify(Object.fromEntries(results))}, expired ${expired}`);
  print(`${asked.sent} discovers (${asked.failed} failed, ${short} short): p50 ${percentile(took, 0.5).toFixed(1)} ms, p99 ${percentile(took, 0.99).toFixed(1)} ms; gateway at most ${rss.toFixed(0)} MB`);
} finally {
  filler.close();
  await rig.close();
}
