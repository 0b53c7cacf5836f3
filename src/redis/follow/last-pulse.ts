import type { Pulse } from '../log/pulse.js';

/** Without an answer for this long the store counts as away. */
const FRESH_MS = 2000;
/** A younger epoch may be that of a store that has just been emptied, and is about to be filled again by those who knew it. */
const EPOCH_SETTLED_MS = 3000;
/** As long as one word of lua/claim.lua and lua/restore.lua holds. */
const SPEAKING_MS = 10_000;

/** What Redis said of itself last. */
export class LastPulse {
  #answeredAt = -Infinity;
  #sweptAgoMs = 0;
  #epochAgeMs = 0;
  #speakingForMs = 0;
  #fromNothing = false;

  take({ nowMs, sweptAtMs, epochAtMs, speakingUntilMs, fromNothing }: Pulse) {
    this.#answeredAt = performance.now();
    this.#speakingForMs = speakingUntilMs - nowMs;
    this.#fromNothing = fromNothing;
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

  /** Nobody is giving back what was lost, as far as they say in Redis. One that lies further ahead was written before the clock was set back. */
  get quiet(): boolean {
    return this.#speakingForMs <= 0 || this.#speakingForMs > SPEAKING_MS;
  }

  /** Age of an epoch that began with nothing, and for which nobody knew what was there before; else undefined. */
  get blankForMs(): number | undefined {
    return this.#fromNothing && this.#epochAgeMs >= 0 ? this.#epochAgeMs : undefined;
  }
}
