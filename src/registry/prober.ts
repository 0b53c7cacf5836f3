import type { Instance } from '../contract/index.js';

export interface Probed {
  /** Those that answered, and those that could not be asked, in the order given. */
  passing: Instance[];
  /** How many could not be asked: no TCP port, no address where probes may connect, or no time left. */
  unchecked: number;
}

/** Asks instances now whether they answer. Bounded in time and in sockets. Rejects with `overloaded` only. */
export type Prober = (instances: Instance[]) => Promise<Probed>;
