import type { Instance } from '../contract/index.js';

export interface Probed {
  /** Those that answered, and those that could not be asked, in the order given. */
  passing: Instance[];
  /** How many could not be asked: no TCP port, or no address where probes may connect. */
  unchecked: number;
}

/** Asks instances now whether they answer. Bounded in time and in sockets; never rejects. */
export type Prober = (instances: Instance[]) => Promise<Probed>;
