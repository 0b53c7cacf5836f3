import type { Bed } from './bed.js';
import type { Load } from './load.js';
import type { Outages } from './outages.js';
import type { Scale } from './scale.js';
import type { Witness } from './witness.js';

/** What a fault has to work with. */
export interface Field {
  bed: Bed;
  load: Load;
  witness: Witness;
  outages: Outages;
  scale: Scale;
  ttlMs: number;
  numbers: Record<string, number | string>;
  /** Says that something is not as it should be, and goes on. */
  require: (holds: boolean, what: string) => void;
}
