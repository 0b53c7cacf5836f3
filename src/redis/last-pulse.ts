import type { Pulse } from './pulse.js';

/** Without an answer for this long the store counts as away. */
const FRESH_MS = 2000;
/** A younger epoch may be that of a store that has just been emptied, and is about to be filled again by those who knew it. */
const EPOCH_SETTLED_MS = 3000;

/** What Redis said of itself last. */
export class LastPulse {
  #answeredAt = -Infinity;
  #sweptAgoMs = 0;
  #epochAgeMs = 0;

  take({ nowMs, sweptAtMs, epochAtMs }: Pulse) {
    this.#answeredAt = performance.now();
    this.#epochAgeMs = nowMs - epochAtMs;
    this.#sweptAgoMs = nowMs - sweptAtMs;
  }

  /** Redis answered within the last two seconds. */
  get fresh(): boolean {
    return performance.now() - this.#answeredAt < FRESH_MS;
  }

  /** How long ago any replica began a sweep, by the clock of Redis; undefined while Redis is silent. */
  get sweptAgoMs(): number | undefined {
    return this.fresh ? this.#sweptAgoMs : undefined;
  }

  /** The epoch was founded a moment ago. One that lies ahead is older than the step back of the clock. */
  get young(): boolean {
    return Math.abs(this.#epochAgeMs) < EPOCH_SETTLED_MS;
  }
}
