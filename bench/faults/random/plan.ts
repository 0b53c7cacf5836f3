import { Draw } from './draw.js';

/** What may be done to one replica, and how often beside the others. */
const REPLICA_STRIKES = { kill: 3, stop: 5, cut: 4, dark: 4, delay: 5, swallow: 3, clock: 2 } as const;
const REDIS_STRIKES = { pause: 2, freeze: 3, restart: 4, empty: 5, flush: 5, scripts: 2, clients: 2, redisClock: 1 } as const;

export type ReplicaStrike = keyof typeof REPLICA_STRIKES;
export type RedisStrike = keyof typeof REDIS_STRIKES;

export interface Strike {
  /** ms since the begin. */
  at: number;
  kind: ReplicaStrike | RedisStrike;
  /** How long it lasts; 0 for what is over at once. */
  ms: number;
  replica?: number;
  /** `delay`: ms a reply; `clock`, `redisClock`: the step in ms. */
  value?: number;
}

export type Deed = 'remove' | 'replace' | 'die' | 'move' | 'patch';
const DEEDS: Readonly<Record<Deed, number>> = { remove: 3, replace: 2, die: 1, move: 2, patch: 12 };

export interface Operation {
  at: number;
  deed: Deed;
  slot: number;
  /** For whatever it decides besides. */
  seed: number;
}

export interface Plan {
  strikes: Strike[];
  operations: Operation[];
  /** When which watcher is cut. */
  cuts: { at: number; watcher: number }[];
}

export interface Size {
  ms: number;
  replicas: number;
  slots: number;
  watchers: number;
  /** Clocks can be set. */
  clocks: boolean;
}

const OPERATIONS_A_SECOND = 4;
const CUTS_A_SECOND = 1.2;
/** A replica that was killed takes so long to be ready again, and others must be well meanwhile. */
const START_MS = 5000;

/** All that happens in a run but for its timing, which no seed repeats. */
export function planOf(seed: number, size: Size): Plan {
  const draws = Array.from({ length: 3 }, (_, n) => new Draw(seed * 31 + n)) as [Draw, Draw, Draw];
  return { strikes: strikesOf(draws[0], size), operations: operationsOf(draws[1], size), cuts: cutsOf(draws[2], size) };
}

function strikesOf(draw: Draw, { ms, replicas, clocks }: Size): Strike[] {
  const strikes: Strike[] = [];
  const until = new Map<number | 'redis', number>();
  for (let at = 3000; at < ms - 12_000; at += draw.whole(1500, 6500)) {
    const free = Array.from({ length: replicas }, (_, n) => n).filter((n) => (until.get(n) ?? 0) < at);
    const onRedis = draw.chance(0.42) && (until.get('redis') ?? 0) < at;
    const strike = onRedis ? redisStrike(draw, at) : replicaStrike(draw, at, draw.pick(free));
    const timed = strike.kind === 'clock' || strike.kind === 'redisClock';
    // One replica is always well: with none nobody is left to give back what Redis loses.
    if ((timed && !clocks) || (!onRedis && strike.kind !== 'clock' && free.length < 2)) continue;
    until.set(onRedis ? 'redis' : (strike.replica as number), at + strike.ms + (strike.kind === 'kill' ? START_MS : 500));
    strikes.push(strike);
  }
  return strikes;
}

function replicaStrike(draw: Draw, at: number, replica: number): Strike {
  const kind = draw.weighted(REPLICA_STRIKES);
  const about = { at, kind, replica };
  if (kind === 'kill') return { ...about, ms: draw.whole(200, 3000) };
  if (kind === 'swallow') return { ...about, ms: draw.whole(100, 1200) };
  if (kind === 'delay') return { ...about, ms: draw.whole(3000, 8000), value: draw.pick([200, 900, 2000]) };
  if (kind === 'clock') return { ...about, ms: draw.whole(3000, 15_000), value: draw.pick([-86_400_000, -3_600_000, -5000, 5000, 3_600_000, 86_400_000]) };
  return { ...about, ms: draw.whole(500, 6000) };
}

function redisStrike(draw: Draw, at: number): Strike {
  const kind = draw.weighted(REDIS_STRIKES);
  if (kind === 'flush' || kind === 'scripts' || kind === 'clients') return { at, kind, ms: 0 };
  if (kind === 'pause') return { at, kind, ms: draw.whole(300, 3000) };
  if (kind === 'redisClock') return { at, kind, ms: draw.whole(12_000, 20_000), value: draw.pick([-60_000, 60_000]) };
  return { at, kind, ms: draw.whole(300, 5000) };
}

function operationsOf(draw: Draw, { ms, slots }: Size): Operation[] {
  return timesOf(draw, ms, OPERATIONS_A_SECOND).map((at) => ({ at, deed: draw.weighted(DEEDS), slot: draw.whole(0, slots - 1), seed: draw.whole(0, 2 ** 31) }));
}

const cutsOf = (draw: Draw, { ms, watchers }: Size) => timesOf(draw, ms, CUTS_A_SECOND).map((at) => ({ at, watcher: draw.whole(0, watchers - 1) }));

function timesOf(draw: Draw, ms: number, perSecond: number): number[] {
  const times: number[] = [];
  for (let at = 1000; at < ms - 6000; at += (-Math.log(1 - draw.next()) / perSecond) * 1000) times.push(Math.round(at));
  return times;
}
