import type { Instance } from '../../contract/index.js';
import type { Ejected } from './ejected.js';

/** Where an instance is wanted: see the options of a catalog. */
export interface Where {
  group?: string;
  fallbackGroups?: readonly string[];
  zone?: string;
}

/**
 * Whom to choose from. Never one that is not `ready`, is cordoned, fails its health check, or was reported and silent for a whole lease since. Of the
 * group, else of the next; of the zone before others. Those first who are neither suspect nor reported, then suspects, for most of them
 * are held because it is not their fault; then those who were reported: a call that may fail is better than none.
 */
export function candidatesOf(all: Iterable<Instance>, { group, fallbackGroups = [], zone }: Where, ejected: Ejected, not: readonly string[]): Instance[] {
  const fit = [...all].filter((one) => one.status === 'ready' && !one.cordoned && one.health?.passing !== false && !not.includes(one.instanceId) && !ejected.isDead(one));
  const kinds = [(one: Instance) => !one.suspect && !ejected.has(one), (one: Instance) => !ejected.has(one), () => true];
  for (const isKind of kinds) {
    for (const wanted of group === undefined ? [undefined] : [group, ...fallbackGroups]) {
      const some = fit.filter((one) => isKind(one) && (wanted === undefined || one.group === wanted));
      const near = zone === undefined ? [] : some.filter(({ labels }) => labels.zone === zone);
      if (some.length > 0) return near.length > 0 ? near : some;
    }
  }
  return [];
}
