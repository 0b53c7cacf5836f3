// `npx tsx bench/propagation.ts`: from a write acknowledged by one replica to its event at a watcher of another, at 200 changes a
// second. Bounded by SECONDS.
import { setTimeout as sleep } from 'node:timers/promises';
import { openWatch } from '../test/helpers/sse.js';
import { HEADERS, openFiller, pace, percentile, print, startRig, TOKEN } from './rig.js';

const SECONDS = Number(process.env.SECONDS ?? 30);
const CHANGES_PER_SECOND = 200;
const INSTANCES = 1000;

const rig = await startRig();
const filler = await openFiller(rig.redisUrl);
try {
  await filler.fill('near', INSTANCES, 100);
  const [writer, reader] = [await rig.startGateway(), await rig.startGateway()];
  const acknowledged = new Map<string, number>();
  const seen = new Map<string, number>();
  const watch = openWatch(`${reader.url}/sd/v1/watch`, {
    headers: { 'X-API-Token': TOKEN },
    onFrame: (frame) => {
      if (frame.event === 'updated') seen.set(frame.json<{ instance: { customState: string } }>().instance.customState, frame.at);
    },
  });
  await watch.next(({ event }) => event === 'snapshot');
  const changes = pace(CHANGES_PER_SECOND, async (n) => {
    const customState = `wave-${n}`;
    const reply = await fetch(`${writer.url}/sd/v1/instances/near-${n % INSTANCES}`, { method: 'PATCH', headers: HEADERS, body: JSON.stringify({ customState }) });
    if (!reply.ok) throw new Error(await reply.text());
    acknowledged.set(customState, performance.now());
  });
  await sleep(SECONDS * 1000);
  const { sent, failed } = changes.stop();
  await sleep(1000);
  const took = [...acknowledged].map(([state, at]) => (seen.get(state) ?? Infinity) - at);
  const ms = (part: number) => percentile(took, part).toFixed(1);
  print(`${sent} changes (${failed} failed), ${seen.size} seen; acknowledged to seen: p50 ${ms(0.5)} ms, p99 ${ms(0.99)} ms, worst ${ms(1)} ms (less than 0: seen first)`);
  watch.cut();
} finally {
  filler.close();
  await rig.close();
}
