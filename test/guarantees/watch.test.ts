import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { until } from '../helpers/until.js';
import { bound, report } from '../helpers/bounds.js';
import { Follower, type Following } from './helpers/follower.js';
import { lagBehind, startKiller, startSlowFleet, type SlowFleet } from './helpers/slow-fleet.js';
import { readTruth } from './helpers/truth.js';
import { QUIET, startWriters } from './helpers/writers.js';

const EVENTS = bound(1200, 12_000);
const CUTS = bound(24, 200);
const RUN_MAX_MS = bound(30_000, 180_000);
const KILL_EVERY_MS = bound(1800, 5000);
/** Those who come later begin with a snapshot of a registry that others are changing. */
const JOIN_EVERY_MS = bound(1000, 4000);

const WATCHES: Following[] = [
  { framesPerCut: bound(150, 400) },
  { framesPerCut: bound(150, 400) },
  { type: 'game', framesPerCut: bound(80, 300) },
  { type: 'chat', framesPerCut: bound(40, 150) },
  { type: 'game', group: 'kr-1', framesPerCut: bound(40, 150) },
  { type: 'game', group: 'eu-1', framesPerCut: bound(40, 150) },
  { ...QUIET, framesPerCut: 4 },
  { ...QUIET, framesPerCut: 1000 },
];

let fleet: SlowFleet;
beforeAll(async () => {
  fleet = await startSlowFleet({ EVENTS_MAX: '1000000' });
}, 60_000);
afterAll(() => fleet?.stop());

const eventCount = () => fleet.raw.xlen(fleet.keys.events);

test('every watch is told what the stream says, in its order, once, across cuts and killed replicas', async () => {
  lagBehind(fleet);
  const followers = WATCHES.map((each) => new Follower(fleet, each));
  const cuts = () => followers.reduce((sum, { resumed }) => sum + resumed, 0);
  const killer = startKiller(fleet, KILL_EVERY_MS);
  const writers = startWriters(fleet, { pauseMs: bound(8, 18), brief: 0.03 });
  const deadline = performance.now() + RUN_MAX_MS;
  for (let n = 0; performance.now() < deadline && ((await eventCount()) < EVENTS || cuts() < CUTS); n++) {
    await sleep(JOIN_EVERY_MS);
    if (n < WATCHES.length) followers.push(new Follower(fleet, { ...WATCHES[n] as Following }));
  }
  const kills = await killer.stop();
  await writers.stop();
  // The last brief ones expire, and then nothing more happens.
  await until(async () => (await fleet.raw.zrangebyscore(fleet.keys.leases, '-inf', Date.now() + 5000)).length === 0, 15_000, 100);
  const truth = await readTruth(fleet);
  const behind = () => followers.filter(({ log }) => log.behind(truth) > 0);
  await until(() => behind().length === 0, 15_000, 100).catch(() => undefined); // what is missing is told as such below
  const lost = behind().map(({ log, resumed }) => `${log.behind(truth)} entries never came to watch ${JSON.stringify(log.lastEventId)} after ${resumed} cuts`);
  await Promise.all(followers.map((follower) => follower.stop()));

  const violations = followers.flatMap(({ log }, i) => log.violations(truth).map((said) => `watch ${i}: ${said}`));
  const sum = (kind: string) => followers.reduce((total, { log }) => total + (log.counts[kind] ?? 0), 0);
  report('T2', {
    events: truth.length, watches: followers.length, cuts: cuts(), kills, snapshots: sum('snapshot'), bookmarks: sum('bookmark'),
    delivered: ['registered', 'updated', 'removed', 'expired'].reduce((total, kind) => total + sum(kind), 0),
    violations: violations.length, missing: lost.length + violations.filter((said) => said.includes('was not sent')).length,
    doubled: violations.filter((said) => said.includes('Unique')).length,
  });
  expect(lost).toEqual([]);
  expect(violations.slice(0, 20)).toEqual([]);
  expect(followers.flatMap(({ log }) => log.resets), 'nobody has to start over').toEqual([]);
  expect(followers.flatMap(({ refused }) => refused)).toEqual([]);
  expect(writers.unexpected).toEqual([]);
  expect(truth.length).toBeGreaterThanOrEqual(EVENTS);
  expect(cuts()).toBeGreaterThanOrEqual(CUTS);
  expect(kills).toBeGreaterThanOrEqual(bound(1, 7));
  expect(sum('expired')).toBeGreaterThan(0);
}, RUN_MAX_MS + 60_000);
