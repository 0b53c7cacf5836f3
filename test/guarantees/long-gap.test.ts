import { setTimeout as sleep } from 'node:timers/promises';
import { expect, onTestFinished, test } from 'vitest';
import { RING_SIZE } from '../../src/redis/load/load.js';
import { buildGateway } from '../helpers/gateway.js';
import { openWatch } from '../helpers/sse.js';
import { comparePositions, WatchLog } from '../helpers/watch-log.js';
import { bound, report } from '../helpers/bounds.js';
import { pick } from './helpers/client.js';
import { watchHeaders } from './helpers/follower.js';
import { positionOf } from './helpers/picture.js';
import { readTruth } from './helpers/truth.js';

const ROUNDS = bound(8, 60);
/** Several reads of the log, before memory goes on from there. */
const FORGOTTEN = 1200;
const AT_ONCE = 800;
const HOME = { type: 'game', group: 'kr-1' };

test('who was away for longer than replicas remember is told all of it, once, while others go on writing', async () => {
  const gateway = await buildGateway({ eventsMax: 1_000_000 });
  const { registry, app } = gateway;
  const address = app.server.address() as { port: number };
  const warnings: string[] = [];
  const warn = ({ message }: Error) => void warnings.push(message);
  process.on('warning', warn);
  onTestFinished(() => void process.off('warning', warn));

  const write = (n: number) =>
    registry.register({ ...HOME, instanceId: `id-${n % 100}`, incarnation: `life-${n}`, hostname: 'h.example.com', ports: [], status: 'ready', ttlSeconds: 600 }, { name: 'test' });
  // Each has 1.2 s until it counts as lost: all at once would take about as long as that.
  for (let from = 0; from < RING_SIZE + FORGOTTEN; from += AT_ONCE) await Promise.all(Array.from({ length: AT_ONCE }, (_, n) => write(from + n)));
  const early = (await readTruth(gateway)).slice(0, FORGOTTEN).map(({ revision }) => revision);
  let written = 0;
  let stopped = false;
  const writing = (async () => {
    for (; !stopped; written++) {
      await write(written);
      await sleep(1);
    }
  })();

  const logs: WatchLog[] = [];
  for (let n = 0; n < ROUNDS; n++) {
    const lastEventId = pick(early);
    const log = new WatchLog({ lastEventId });
    logs.push(log);
    const watch = openWatch(`http://127.0.0.1:${address.port}/sd/v1/watch`, { headers: watchHeaders, lastEventId: log.connect(lastEventId), onFrame: (frame) => log.accept(frame) });
    const { revision } = await write(n);
    await watch.next(({ id }) => id !== undefined && comparePositions(positionOf(id), positionOf(revision)) > 0, 15_000).finally(() => watch.cut());
  }
  stopped = true;
  await writing;

  const truth = await readTruth(gateway);
  const violations = logs.flatMap((log) => log.violations(truth));
  const resets = logs.flatMap((log) => log.resets);
  report('T2 long gaps', { rounds: ROUNDS, events: truth.length, violations: violations.length, resets: resets.length });
  expect(violations.slice(0, 10)).toEqual([]);
  expect(resets).toEqual([]);
  expect(warnings).toEqual([]);
}, 120_000);
