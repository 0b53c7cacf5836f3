import { until } from '../../test/helpers/until.js';
import { keys } from './bed.js';
import { newLife, type Life } from './load.js';
import type { Field } from './field.js';

const BURSTS = 6;

/** Redis answers, and has loaded what it had on disk. */
export const redisAnswers = ({ bed }: Pick<Field, 'bed'>) => until(async () => (await bed.raw.ping()) === 'PONG', 10_000, 5);

/** How long from `since` until Redis holds leases and records of all that live; -1 if it never does. */
export async function restoredAfter({ bed, load }: Field, since: number, withinMs = 15_000): Promise<number> {
  const whole = async () => {
    const living = load.lives.filter(({ state }) => state === 'alive' || state === 'silent');
    const held = new Set((await bed.raw.zrange(keys.leases, '0', '-1')).map((member) => member.slice(member.lastIndexOf(':') + 1)));
    if (living.some(({ id }) => !held.has(id))) return false;
    const records = await bed.raw.exists(living.map(({ id }) => keys.record(id)));
    return records === living.length;
  };
  return until(whole, withinMs, 20).then(() => Date.now() - since, () => -1);
}

/**
 * Registers in bursts until so many were acknowledged within the last 50 ms, by what this machine can do, and returns in the moment of
 * the last acknowledgement. All of them beat from then on. Gives how many it were in these 50 ms.
 */
export async function registerAtOnce({ load, ttlMs }: Field, count: number, stem: string): Promise<{ lives: Life[]; inLast50ms: number }> {
  const { groups } = load;
  const all: Life[] = [];
  let inLast50ms = 0;
  for (let burst = 0; burst < BURSTS && inLast50ms < count; burst++) {
    const lives = Array.from({ length: Math.ceil(count * 1.3) }, (_, n) => newLife(`${stem}-${burst}-${n}`, groups[n % groups.length] as string, ttlMs));
    await Promise.all(lives.map((life, n) => load.register(life, n)));
    for (let from = 0; from < lives.length; from += 10) load.carry(lives.slice(from, from + 10));
    const last = Math.max(...lives.map(({ registeredAt }) => registeredAt));
    inLast50ms = lives.filter(({ registeredAt }) => registeredAt >= last - 50).length;
    all.push(...lives);
  }
  return { lives: all, inLast50ms };
}

/** A few of each group: not enough of them for a mass lapse. */
export const someOf = ({ load }: Pick<Field, 'load'>, part: number, state: Life['state'] = 'alive') =>
  load.lives.filter((life) => life.state === state).filter((_, n) => n % stepOf(part, load.groups.length) === 0);

/** No multiple of the number of groups: all would be of one. */
function stepOf(part: number, groups: number): number {
  const step = Math.max(2, Math.round(1 / part));
  return step % groups === 0 ? step + 1 : step;
}

/** The replicas can write again: ms from `since`. */
export async function writesBack({ bed, load }: Field, since: number): Promise<number> {
  await Promise.all(bed.members.map(({ url }) => until(async () => (await load.http.call(url, '/groups?consistency=strong')).status === 200, 15_000, 20)));
  return Date.now() - since;
}

/** The fields of every entry of the log, oldest first. */
export async function events({ bed }: Pick<Field, 'bed'>): Promise<Record<string, string>[]> {
  const entries = await bed.raw.xrange(keys.events, '-', '+');
  return entries.map(([id, flat]) => ({ id, ...Object.fromEntries(flat.flatMap((field, i) => (i % 2 === 0 ? [[field, flat[i + 1] ?? '']] : []))) }));
}

export const percentile = (values: number[], part: number) => Math.round([...values].sort((a, b) => a - b)[Math.min(values.length - 1, Math.floor(values.length * part))] ?? 0);
