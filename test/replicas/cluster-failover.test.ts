import { setTimeout as sleep } from 'node:timers/promises';
import { expect, onTestFinished, test } from 'vitest';
import { makeKeys } from '../../src/redis/scripts/keys.js';
import { bound, report } from '../helpers/bounds.js';
import { expectOneTruth } from '../helpers/agreement.js';
import { CLUSTER_PREFIX, startClusterFleet, type ClusterFleet } from '../helpers/cluster-fleet.js';
import { expectKept, longestGap, startFailoverLoad } from '../helpers/failover-load.js';
import { caller, registration, TOKEN } from '../helpers/gateway.js';
import { expectProblem } from '../helpers/problem.js';
import { until } from '../helpers/until.js';

const keys = makeKeys(CLUSTER_PREFIX);
const SETTLED_MS = 10_000;
const ANSWER_WITHIN_MS = 1500;

type Node = ClusterFleet['nodes'][number];
const urlsOf = ({ members }: ClusterFleet) => members.map(({ url }) => url);

test.each([
  { what: 'killed primary', fail: (fleet: ClusterFleet, primary: Node) => fleet.kill(primary) },
  { what: 'planned failover', fail: async (fleet: ClusterFleet, primary: Node) => fleet.failOver((await fleet.replicasOf(primary))[0] as Node) },
])('$what under load: no acknowledged registration is lost, and all replicas agree with the new primary', { timeout: 60_000 }, async ({ what, fail }) => {
  const fleet = await startClusterFleet();
  onTestFinished(fleet.stop);
  const load = await startFailoverLoad(urlsOf(fleet), { perSecond: bound(200, 400), ids: bound(80, 160), beating: 20 });
  onTestFinished(load.stop);
  await sleep(bound(2000, 10_000));
  const primary = await until(fleet.primary);

  const faultAt = performance.now();
  await fail(fleet, primary);
  await fleet.otherPrimary(primary);
  const promotedMs = performance.now() - faultAt;
  await sleep(faultAt + SETTLED_MS - 2000 - performance.now());
  await load.stop();
  const there = await until(async () => expectOneTruth(urlsOf(fleet), (await until(fleet.primary)).raw, keys), 2000);
  const { ledger } = load;
  const kept = expectKept(ledger, there);
  report(`cluster, ${what}`, {
    writes: ledger.acked.length, ids: ledger.lives.length, promotedMs: Math.round(promotedMs),
    longestWriteGapMs: Math.round(longestGap(ledger, faultAt)), refused: ledger.refused, slowestAnswerMs: Math.round(ledger.slowestMs), ...kept,
  });
});

test('while nobody has the slot writes and strong reads are 503 in time, reads go on from memory, and all is served again when its primary is back', { timeout: 60_000 }, async () => {
  const fleet = await startClusterFleet({ nodeTimeoutMs: 1000, replicas: 1 });
  onTestFinished(fleet.stop);
  const [url] = urlsOf(fleet) as [string];
  const call = caller(url, TOKEN);
  await call.post('/instances').send(registration({ instanceId: 'a', incarnation: 'one', ttlSeconds: 60 })).expect(201);
  await call.get('/instances?consistency=strong').expect(200);
  const primary = await until(fleet.primary);
  const away = [primary, ...(await fleet.replicasOf(primary))];
  for (const node of away) await fleet.kill(node);
  const left = fleet.nodes.find((node) => !away.includes(node)) as Node;
  await until(async () => String(await left.raw.call('CLUSTER', 'INFO')).includes('cluster_state:fail'));

  for (let round = 0; round < 3; round++) {
    const sentAt = performance.now();
    const answers = await Promise.all([
      call.post('/instances').send(registration()),
      call.post('/instances/a/heartbeat').send({ incarnation: 'one' }),
      call.patch('/instances/a').send({ customState: 'x' }),
      call.delete('/instances/a?incarnation=one'),
      call.get('/instances?consistency=strong'),
    ]);
    const ms = performance.now() - sentAt;
    for (const answer of answers) expectProblem(answer, 503, 'store_unavailable');
    expect(ms).toBeLessThan(ANSWER_WITHIN_MS);
    const { body } = await call.get('/instances').expect(200);
    expect(body.instances).toMatchObject([{ instanceId: 'a' }]);
  }
  await until(async () => Number((await call.get('/instances')).headers['x-stale-seconds']) >= 1);

  for (const node of away) await fleet.restart(node); // with nothing on disk but who they are in the Cluster
  const from = performance.now();
  await until(async () => (await call.post('/instances').send(registration({ instanceId: 'b' }))).status < 300, 15_000);
  report('cluster without a primary', { servedAgainMs: Math.round(performance.now() - from) });
  await until(async () => (await call.post('/instances/a/heartbeat').send({ incarnation: 'one' })).status === 200, 5000);
  await call.get('/instances/a?consistency=strong').expect(200);
});
