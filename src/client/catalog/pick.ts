import type { Instance } from '../../contract/index.js';

/** `least-load` and `two-choices` go by a number in `performance`, `weighted` by the label `weight`, `hash` by the key that is picked for. */
export type Strategy = 'round-robin' | 'random' | 'weighted' | 'least-load' | 'two-choices' | 'hash';
export const STRATEGIES: readonly Strategy[] = ['round-robin', 'random', 'weighted', 'least-load', 'two-choices', 'hash'];

export interface Chooser {
  strategy: Strategy;
  /** Of `performance`, the less the better. Who does not tell it counts as the most loaded. */
  loadField: string;
}

/** What a list is chosen from with; `turn` counts the picks. */
export interface Chance {
  turn: number;
  key: string | undefined;
  random: () => number;
}

/** One of these, of which there is at least one. */
export function choose(from: readonly Instance[], { strategy, loadField }: Chooser, { turn, key, random }: Chance): Instance {
  const any = () => from[Math.floor(random() * from.length)] as Instance;
  const load = (one: Instance) => numberOf(one.performance?.[loadField]) ?? Infinity;
  const lesser = (one: Instance, other: Instance) => (load(other) < load(one) ? other : one);
  switch (strategy) {
    case 'round-robin':
      return from[turn % from.length] as Instance;
    case 'random':
      return any();
    case 'weighted':
      return weighted(from, random());
    case 'least-load':
      return leastLoaded(from, load, random());
    case 'two-choices':
      return lesser(any(), any());
    case 'hash':
      return key === undefined ? any() : byHash(from, key);
  }
}

/** Of equals not always the first: a whole fleet of callers would go there. */
function leastLoaded(from: readonly Instance[], load: (one: Instance) => number, at: number): Instance {
  const least = from.reduce((min, one) => Math.min(min, load(one)), Infinity);
  const equals = from.filter((one) => load(one) === least);
  return equals[Math.floor(at * equals.length)] as Instance;
}

const numberOf = (value: unknown): number | undefined => (typeof value === 'number' ? value : undefined);

/** 1 unless the label `weight` is a number above 0; 0 takes nothing, unless all are 0. */
function weightOf({ labels }: Instance): number {
  const weight = labels.weight === undefined ? 1 : Number(labels.weight);
  return weight >= 0 && Number.isFinite(weight) ? weight : 1;
}

function weighted(from: readonly Instance[], at: number): Instance {
  const all = from.reduce((sum, one) => sum + weightOf(one), 0);
  let left = at * all;
  return from.find((one) => (left -= weightOf(one)) < 0) ?? (from[Math.floor(at * from.length)] as Instance);
}

/** Rendezvous hashing: a key stays where it is while that instance is there, whoever else comes or goes (Thaler and Ravishankar, 1998). */
function byHash(from: readonly Instance[], key: string): Instance {
  let best = { score: -1, instance: from[0] as Instance };
  for (const instance of from) {
    const score = fnv1a(`${key}\0${instance.instanceId}`);
    if (score > best.score) best = { score, instance };
  }
  return best.instance;
}

/** FNV-1a, 32 bits, its bits mixed once more: http://www.isthe.com/chongo/tech/comp/fnv/ */
function fnv1a(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  return (hash ^ (hash >>> 13)) >>> 0;
}
