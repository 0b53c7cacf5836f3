import { setTimeout as sleep } from 'node:timers/promises';
import { until } from '../../test/helpers/until.js';
import { makeBed, type Bed, type BedSetup } from './bed.js';
import { Load } from './load.js';
import { Outages } from './outages.js';
import type { Outcome, Scale } from './scale.js';
import { disagreements } from './settle.js';
import type { Field } from './field.js';
import { events } from './tools.js';
import { Follower } from './watchers.js';
import { Witness } from './witness.js';

export interface Setup extends BedSetup {
  instances?: number;
  ttlSeconds?: number;
  groups?: number;
  /** Watchers may be told to begin anew. */
  resets?: boolean;
  /** Another bed than one Redis and replicas on it. */
  makeBed?: () => Promise<Bed>;
  /** There may be no replica to ask. */
  discoversMayFail?: boolean;
  /** Nothing is registered, watched or asked unless the fault does. */
  idle?: boolean;
}

/** Three replicas under load, a fault, and what all of them tell in the end. */
export async function underLoad(scale: Scale, setup: Setup, strike: (field: Field) => Promise<void>): Promise<Outcome> {
  const bed = await (setup.makeBed ?? (() => makeBed(setup)))();
  const outages = new Outages();
  const load = new Load(bed, { ...scale, groups: setup.groups ?? scale.groups, ttlSeconds: setup.ttlSeconds ?? scale.ttlSeconds });
  const witness = new Witness(bed, load, outages);
  const followers: Follower[] = [];
  const outcome: Outcome = { numbers: {}, failures: [] };
  const require = (holds: boolean, what: string) => void (holds || outcome.failures.push(what));
  const field: Field = { bed, load, witness, outages, scale: load.scale, ttlMs: load.scale.ttlSeconds * 1000, numbers: outcome.numbers, require };
  try {
    if (!setup.idle) await begin(field, followers, setup.instances ?? scale.instances);
    await strike(field);
    if (!setup.idle) await end(field, followers);
  } catch (error) {
    outcome.failures.push(`broke off: ${(error as Error).stack ?? String(error)}`);
  } finally {
    await Promise.all([witness.stop(), ...followers.map((each) => each.stop())]);
    await load.stop();
    await bed.stop();
  }
  if (!setup.idle) judge(field, followers, setup);
  else for (const text of load.wrong.slice(0, 5)) require(false, text);
  if (outcome.failures.length > 0) outcome.failures.push(...bed.members.map(({ url, replica }) => `log of ${url}:\n  ${replica.log.filter((line) => !line.includes('slow request')).slice(-150).join('\n  ')}`));
  return outcome;
}

async function begin({ bed, load, witness, scale, ttlMs }: Field, followers: Follower[], instances: number) {
  await load.begin(instances);
  const { groups } = load;
  for (let n = 0; n < scale.watchers; n++) followers.push(new Follower(bed, load, witness, n % 4 === 3 ? undefined : groups[n % groups.length], n));
  await until(() => followers.every(({ loaded }) => loaded), 15_000);
  await sleep(ttlMs / 3 + 100); // everybody has beaten once
  witness.begin(scale.discoversPerSecond);
  await sleep(1000);
}

async function end({ bed, load, witness, require }: Field, followers: Follower[]) {
  const dead = witness.lastGhostAt() + 300 - Date.now();
  if (dead > 0) await sleep(dead);
  for (const text of await disagreements(bed, load, followers)) require(false, text);
  const twice = toldTwice(await events({ bed }));
  require(twice.length === 0, `${twice.length} departures were told twice: ${twice.slice(0, 3).join()}`);
}

/** Ids that left twice without having been there between. */
function toldTwice(entries: Record<string, string>[]): string[] {
  const gone = new Set<string>();
  return entries.flatMap(({ kind, instanceId, cause }) => {
    if (instanceId === undefined || cause === 'moved') return [];
    if (kind !== 'removed' && kind !== 'expired') return gone.delete(instanceId) ? [] : [];
    if (gone.has(instanceId)) return [instanceId];
    gone.add(instanceId);
    return [];
  });
}

function judge({ load, witness, numbers, require }: Field, followers: Follower[], { resets = false, discoversMayFail = false }: Setup) {
  const sum = (name: keyof Follower['counts']) => followers.reduce((total, { counts }) => total + counts[name], 0);
  const ghostMs = Math.max(0, ...witness.ghosts.values());
  Object.assign(numbers, {
    early: witness.counts.early,
    ghosts: witness.ghosts.size,
    falseDepartures: sum('falseDepartures'),
    reRegistered: load.counts.reRegistered,
    discovers: witness.counts.discovers,
    ...nonZero({
      discoversFailed: witness.counts.failed, shed: witness.counts.shed, unproved: witness.counts.unproved, resets: sum('resets'), needless: sum('needless'),
      fenced: load.counts.fenced, slowestRefusalMs: load.slowestRefusalMs,
    }),
  });
  require(witness.counts.early === 0, `${witness.counts.early} answers left out a live instance, ${witness.earlyIds.size} of them`);
  require(witness.ghosts.size === 0, `${witness.ghosts.size} dead or removed instances were shown, up to ${ghostMs} ms too long: ${[...witness.ghosts.keys()].slice(0, 3).join()}`);
  require(witness.counts.failed === 0 || discoversMayFail, `${witness.counts.failed} discovers were answered by no replica`);
  for (const note of witness.notes.slice(0, 8)) require(false, note);
  require(sum('falseDepartures') === 0, `watchers were told of ${sum('falseDepartures')} departures of live instances`);
  require(sum('shortSnapshots') === 0, `watchers got ${sum('shortSnapshots')} snapshots without live instances, ${sum('empty')} of them empty`);
  require(resets || sum('resets') === 0, `watchers were reset ${sum('resets')} times`);
  require(load.counts.reRegistered === 0, `${load.counts.reRegistered} heartbeats of live instances were answered 404`);
  for (const text of load.unknown.slice(0, 3)) require(false, `answered 404: ${text}`);
  require(load.counts.fenced === 0, `${load.counts.fenced} heartbeats of live instances were answered 409`);
  for (const text of load.wrong.slice(0, 5)) require(false, text);
  if (sum('falseDepartures') + sum('shortSnapshots') + (resets ? 0 : sum('resets')) > 0) {
    for (const note of followers.flatMap(({ notes }) => notes).slice(0, 8)) require(false, `watcher: ${note}`);
  }
}

const nonZero = (numbers: Record<string, number>) => Object.fromEntries(Object.entries(numbers).filter(([, value]) => value > 0));
