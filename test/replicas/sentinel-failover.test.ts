import { setTimeout as sleep } from 'node:timers/promises';
import { expect, onTestFinished, test } from 'vitest';
import { makeKeys } from '../../src/redis/scripts/keys.js';
import { bound, report } from '../helpers/bounds.js';
import { expectOneTruth } from '../helpers/agreement.js';
import { expectKept, longestGap, startFailoverLoad, type FailoverLoad } from '../helpers/failover-load.js';
import type { TestRedis } from '../helpers/redis.js';
import { startSentinelFleet, type SentinelFleet } from '../helpers/sentinel-fleet.js';
import { until } from '../helpers/until.js';

const keys = makeKeys('service:');
/** So long after the fault all views are equal again. */
const SETTLED_MS = 10_000;
const WARM_UP_MS = bound(2000, 10_000);

interface Scene {
  fleet: SentinelFleet;
  load: FailoverLoad;
  primary: TestRedis;
}

async function underLoad(perSecond = bound(200, 400)): Promise<Scene> {
  const fleet = await startSentinelFleet();
  onTestFinished(fleet.stop);
  const load = await startFailoverLoad(fleet.members.map(({ url }) => url), { perSecond, ids: bound(80, 160), beating: 20 });
  onTestFinished(load.stop);
  await sleep(WARM_UP_MS);
  return { fleet, load, primary: await until(fleet.primary) };
}

/** Lets the load go on for most of the time that there is, then compares what replicas, Redis and owners hold for true. */
async function expectSettled(name: string, { fleet, load, primary }: Scene, faultAt: number, overAt = faultAt) {
  await fleet.otherPrimary(primary);
  const promotedMs = performance.now() - faultAt;
  await sleep(overAt + SETTLED_MS - 2000 - performance.now());
  await load.stop();
  const there = await until(async () => {
    const now = await until(fleet.primary); // a machine under load may have failed over once more meanwhile
    return expectOneTruth(fleet.members.map(({ url }) => url), fleet.rawOf(now), keys);
  }, 2000);
  const { ledger } = load;
  const kept = expectKept(ledger, there);
  report(name, {
    writes: ledger.acked.length, ids: ledger.lives.length, promotedMs: Math.round(promotedMs),
    longestWriteGapMs: Math.round(longestGap(ledger, faultAt)), refused: ledger.refused, slowestAnswerMs: Math.round(ledger.slowestMs), ...kept,
  });
}

test('a planned failover under load loses no acknowledged registration, and all replicas agree with the new primary', { timeout: 60_000 }, async () => {
  const scene = await underLoad();
  const faultAt = performance.now();
  await scene.fleet.failOver();
  await expectSettled('planned failover', scene, faultAt);
});

test('a primary killed under load loses no acknowledged registration, and all replicas agree with the new primary', { timeout: 60_000 }, async () => {
  const scene = await underLoad();
  const faultAt = performance.now();
  await scene.primary.kill();
  await expectSettled('killed primary', scene, faultAt);
});

test('a primary that wakes up after its failover splits nothing: what it still takes is seen by nobody', { timeout: 60_000 }, async () => {
  const scene = await underLoad();
  const { fleet, primary, load } = scene;
  onTestFinished(() => primary.signal('SIGCONT')); // a test that fails half-way must not leave it stopped
  const faultAt = performance.now();
  primary.signal('SIGSTOP');
  const next = await fleet.otherPrimary(primary);
  await until(() => load.ledger.acked.some((at) => at > performance.now() - 100)); // writes go on at the new one
  primary.signal('SIGCONT');
  const wokeAt = performance.now();
  // Sentinel demotes it only after some seconds: until then it takes writes, as this one.
  const zombie = fleet.rawOf(primary);
  await until(() => zombie.hset(keys.record('zombie'), 'type', 'game'));
  expect(await fleet.rawOf(next).exists(keys.record('zombie'))).toBe(0);
  await expectSettled('zombie primary', scene, faultAt, wokeAt);
});
