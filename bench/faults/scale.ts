/** How big a fault is: `npm run check` runs a few of them small, `npm run faults` all of them as the promises are worded. */
export interface Scale {
  full: boolean;
  instances: number;
  groups: number;
  ttlSeconds: number;
  watchers: number;
  discoversPerSecond: number;
}

export const FULL: Scale = { full: true, instances: 500, groups: 5, ttlSeconds: 9, watchers: 20, discoversPerSecond: 50 };
export const SHORT: Scale = { full: false, instances: 60, groups: 5, ttlSeconds: 3, watchers: 4, discoversPerSecond: 10 };

export interface Outcome {
  numbers: Record<string, number | string>;
  /** Nothing here: passed. */
  failures: string[];
}

export interface Fault {
  name: string;
  /** What must happen, in words. */
  expectation: string;
  /** Its load or its clock leaves no room for another one beside it. */
  alone?: boolean;
  /** Longer than others may take. */
  atMostMs?: number;
  run: (scale: Scale) => Promise<Outcome>;
}

/** One that is shown somewhere else. */
export interface Elsewhere {
  name: string;
  where: string;
}
