import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { until } from '../../../test/helpers/until.js';
import { keys, type Bed } from '../bed.js';
import { TYPE } from '../load.js';
import { Fleet, TTL_MS } from './fleet.js';
import { makeGround, type Ground } from './ground.js';
import { History, type Ending } from './history.js';
import { endingViolations } from './judge/ending.js';
import { Asker, Follower, shownIn } from './observers.js';
import { planOf, type Plan, type Strike } from './plan.js';
import { Scribe } from './scribe.js';

export interface RunOptions {
  seed: number;
  minutes: number;
  slots?: number;
  /** What is struck instead of what the seed says; operations and cuts are the seed's. */
  strikes?: Strike[];
  /** Told now and then how far it is. */
  tell?: (text: string) => void;
}

const GROUPS = 12;
const WATCHERS = 10;
const DISCOVERIES_A_SECOND = 20;
const HELD_UP_MS = 200;

/** Everything that happens in a run of this seed, and what the replicas logged. */
export async function runRandom({ seed, minutes, slots = 200, strikes, tell = () => undefined }: RunOptions): Promise<{ history: History; logs: string[] }> {
  const history = new History();
  const ms = minutes * 60_000;
  const ground = await makeGround(history, { LOG_LEVEL: 'info' });
  const plan = planOf(seed, { ms, replicas: 3, slots, watchers: WATCHERS, clocks: ground.clocks });
  if (strikes) plan.strikes = strikes;
  if (!ground.clocks) tell('no /usr/bin/gcc: clocks are not set in this run');
  const fleet = new Fleet(ground, history, seed, { slots, groups: GROUPS });
  const scribe = new Scribe(ground.bed.raw, history);
  const held = watchPauses(history);
  const asker = new Asker(ground, history, fleet.http, seed, fleet.groups);
  const followers: Follower[] = [];
  try {
    history.add({ t: 'run', seed, ms, ttlMs: TTL_MS, at: Date.now() });
    await fleet.begin();
    for (let n = 0; n < WATCHERS; n++) followers.push(new Follower(ground, history, n, n % 3 === 2 ? '' : (fleet.groups[n] as string)));
    await sleep(TTL_MS / 3);
    asker.begin(DISCOVERIES_A_SECOND);
    await strikeBy(plan, { ground, fleet, followers, ms, tell });
    await fleet.settled();
    await sleep(2 * TTL_MS + 3000); // whoever died is gone, whatever was held is let go
    await asker.stop();
    await conclude(ground, history, fleet, followers);
    return { history, logs: ground.bed.members.map(({ replica }) => replica.log.join('\n')) };
  } finally {
    held();
    await Promise.all([asker.stop(), fleet.stop(), ...followers.map((each) => each.stop())]);
    scribe.stop().catch(() => undefined);
    await ground.close();
  }
}

interface Stage {
  ground: Ground;
  fleet: Fleet;
  followers: Follower[];
  ms: number;
  tell: (text: string) => void;
}

/** Does what is planned when it is due; resolves when it is all over and undone. */
async function strikeBy({ strikes, operations, cuts }: Plan, { ground, fleet, followers, ms, tell }: Stage) {
  const startedAt = Date.now();
  const due = [
    ...strikes.map((strike) => ({ at: strike.at, act: () => void under.push(ground.strike(strike)) })),
    ...operations.map((operation) => ({ at: operation.at, act: () => fleet.do(operation) })),
    ...cuts.map(({ at, watcher }) => ({ at, act: () => followers[watcher]?.cut() })),
    ...Array.from({ length: Math.floor(ms / 30_000) }, (_, n) => ({ at: (n + 1) * 30_000, act: () => tell(`${(n + 1) * 30} s`) })),
  ].sort((a, b) => a.at - b.at);
  const under: Promise<void>[] = [];
  for (const { at, act } of due) {
    await sleep(Math.max(0, startedAt + at - Date.now()));
    act();
  }
  await sleep(Math.max(0, startedAt + ms - Date.now()));
  await Promise.all(under);
}

/** What all say in the end: asked until they agree, ten seconds at most. */
async function conclude(ground: Ground, history: History, fleet: Fleet, followers: Follower[]) {
  let last: Ending | undefined;
  const agreed = async () => {
    last = await endingOf(ground.bed, fleet, followers);
    return endingViolations(last).length === 0;
  };
  await until(agreed, 10_000, 300).catch(() => undefined);
  if (last) history.add(last);
}

async function endingOf(bed: Bed, fleet: Fleet, followers: Follower[]): Promise<Ending> {
  const replicas = await Promise.all(
    bed.members.map(async ({ url }) => {
      const replies = await Promise.all(fleet.groups.map((group) => fleet.http.call(url, `/instances?type=${TYPE}&group=${group}`)));
      const list = replies.flatMap(({ status, text }) => (status === 200 ? shownIn(text) : []));
      return { tags: replies.map(({ status, headers }) => headers.etag ?? String(status)).join(), list };
    }),
  );
  const members = await bed.raw.zrange(keys.leases, '0', '-1');
  const redis = await Promise.all(
    members.map(async (member): Promise<Ending['redis'][number]> => {
      const [, group = '', id = ''] = member.split(':');
      const [inc, labels] = await bed.raw.hmget(keys.record(id), 'incarnation', 'labels');
      return [id, group, inc ?? '', Number((JSON.parse(labels ?? '{}') as { v?: string }).v ?? -1)];
    }),
  );
  return {
    t: 'ending', at: Date.now(), replicas, redis,
    watchers: followers.map(({ group, picture }) => ({ group, list: [...picture.values()] })),
    owners: fleet.living.map(({ id, inc, v, group }) => [id, inc, v, group]),
  };
}

/** Notes when this process itself was held up: what it says of times is then as late. */
function watchPauses(history: History) {
  const delays = monitorEventLoopDelay({ resolution: 10 });
  delays.enable();
  const look = setInterval(() => {
    const ms = Math.round(delays.max / 1e6);
    if (ms > HELD_UP_MS) history.add({ t: 'pause', at: Date.now(), ms });
    delays.reset();
  }, 1000);
  return () => {
    clearInterval(look);
    delays.disable();
  };
}
