// `npx tsx bench/watchers.ts`: WATCHERS event streams on one gateway: how soon one change reaches the last, what each costs in
// memory, what a minute of heartbeats sends them; and 100 readers that never read among 200 others. Bounded: about four minutes.
import { fork, type ChildProcess } from 'node:child_process';
import { on } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { HEADERS, instance, openFiller, pace, percentile, print, rssMb, startRig, TOKEN, type Process } from './rig.js';

const WATCHERS = Number(process.env.WATCHERS ?? 10_000);
const CHANGES = 20;
const SECONDS = Number(process.env.SECONDS ?? 60);
const BEATING = 5000;

const now = () => Number(process.hrtime.bigint()) / 1e6;
const rig = await startRig();
const filler = await openFiller(rig.redisUrl);
const crowds: Crowd[] = [];

/** Watchers in a process of their own. */
class Crowd {
  constructor(readonly child: ChildProcess) {}

  async hear<T>(field: string): Promise<T> {
    for await (const [message] of on(this.child, 'message', { signal: AbortSignal.timeout(60_000) }) as AsyncIterable<[Record<string, T>]>) {
      if (message[field] !== undefined) return message[field];
    }
    throw new Error('unreachable');
  }

  async ask<T>(message: object, field: string): Promise<T> {
    const heard = this.hear<T>(field);
    this.child.send(message);
    return heard;
  }
}

async function gather(gateway: Process, path: string, count: number, silent = 0): Promise<Crowd> {
  const crowd = new Crowd(fork('bench/watch-crowd.mjs', [String(gateway.port), path, TOKEN, String(count), String(silent)]));
  crowds.push(crowd);
  await crowd.hear('open');
  return crowd;
}

const patch = async ({ url }: Process, id: string, customState: string) => {
  const reply = await fetch(`${url}/sd/v1/instances/${id}`, { method: 'PATCH', headers: HEADERS, body: JSON.stringify({ customState }) });
  if (!reply.ok) throw new Error(await reply.text());
};

/** From before a change is sent until the last watcher has it, in ms. */
async function reach(gateway: Process, crowd: Crowd, id: string, rounds: number): Promise<number[]> {
  const took: number[] = [];
  for (let round = 0; round < rounds; round++) {
    const mark = `wave-${round}-${Math.random()}`;
    const last = crowd.hear<number>('at');
    crowd.child.send({ mark });
    await sleep(50);
    const startedAt = now();
    await patch(gateway, id, mark);
    took.push((await last) - startedAt);
    await sleep(100);
  }
  return took;
}

interface Counted {
  bytes: number;
  comments: number;
  closed: number;
  kinds: Record<string, number>;
}

async function manyWatchers(gateway: Process) {
  await sleep(3000);
  const before = rssMb(gateway);
  const crowd = await gather(gateway, '/sd/v1/watch?type=game&group=near-0', WATCHERS);
  await sleep(30_000);
  const kb = ((rssMb(gateway) - before) * 1024) / WATCHERS;
  print(`${WATCHERS} watchers: ${kb.toFixed(1)} KB each after 30 s (${before.toFixed(0)} -> ${rssMb(gateway).toFixed(0)} MB)`);
  const took = await reach(gateway, crowd, 'near-0', CHANGES);
  print(`one change to the last of ${WATCHERS}: median ${percentile(took, 0.5).toFixed(0)} ms, worst of ${CHANGES} ${Math.max(...took).toFixed(0)} ms`);

  await sleep(16_000); // every watcher has had its bookmark
  await crowd.ask<Counted>({ count: true }, 'counted');
  const beats = pace(BEATING / 10 / 100, async (n) => {
    const batch = Array.from({ length: 100 }, (_, i) => ({ instanceId: `near-${(n * 100 + i) % BEATING}`, performance: { tps: Math.random() * 60 } }));
    const reply = await fetch(`${gateway.url}/sd/v1/heartbeats`, { method: 'POST', headers: HEADERS, body: JSON.stringify(batch) });
    if (!reply.ok) throw new Error(await reply.text());
  });
  await sleep(SECONDS * 1000);
  const { sent, failed } = beats.stop();
  const { bytes, comments, kinds } = await crowd.ask<Counted>({ count: true }, 'counted');
  print(`${SECONDS} s of ${sent * 100} heartbeats with performance (${failed} failed): ${JSON.stringify(kinds)} events, ${comments} keep-alive comments, ${bytes} bytes`);
  crowd.child.send({ end: true });
}

async function deafReaders(gateway: Process) {
  const p99 = async (crowd: Crowd) => percentile(await reach(gateway, crowd, 'near-0', 100), 0.99);
  const alone = await gather(gateway, '/sd/v1/watch?type=game', 200);
  const load = pace(200, (n) => patch(gateway, `near-${100 + (n % 4000)}`, `${n} ${'x'.repeat(200)}`));
  const undisturbed = await p99(alone);
  alone.child.send({ end: true });
  const mixed = await gather(gateway, '/sd/v1/watch?type=game', 300, 100);
  const disturbed = await p99(mixed);
  for (let waited = 0; waited < 60 && (await endedByUs(gateway)) < 100; waited++) await sleep(1000);
  print(`200 readers' p99 at 200 changes a second: ${undisturbed.toFixed(0)} ms alone, ${disturbed.toFixed(0)} ms beside 100 that never read; of those ${await endedByUs(gateway)} were ended`);
  load.stop();
}

async function endedByUs({ url }: Process): Promise<number> {
  const text = await (await fetch(`${url}/metrics`, { headers: HEADERS })).text();
  return [...text.matchAll(/^rollcall_watchers_ended_total\{reason="(?:slow|stuck)"\} (\d+)$/gm)].reduce((sum, [, count]) => sum + Number(count), 0);
}

try {
  await filler.fill('near', BEATING, 100);
  const gateway = await rig.startGateway();
  print(`instances of about ${JSON.stringify(instance('near', 0, 100)).length} bytes`);
  await manyWatchers(gateway);
  await deafReaders(gateway);
} finally {
  for (const { child } of crowds) child.kill();
  filler.close();
  await rig.close();
}
