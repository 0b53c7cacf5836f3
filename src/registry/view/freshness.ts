/** An older view is stale: answers go on, and say so. */
const STALE_AFTER_MS = 1000;
/** After having been stale, until heartbeats come as usual. */
const SETTLING_MS = 10_000;
/** Longer than replicas need to claim and to give back. */
const REUNITING_MS = 3000;

/** How old what a replica knows is, by its monotonic clock, and whether that is all there is to know. */
export class Freshness {
  #blankUntil = -Infinity;
  /** When the store was asked for what the view has, and answered it all. */
  #freshAt = -Infinity;
  #doubted = false;
  #settledAt = -Infinity;
  #partedAt = -Infinity;

  /** For so long after everything was lost servers are still coming back: the default lease. */
  constructor(private readonly comeBackMs: number) {}

  get ageMs() {
    return performance.now() - this.#freshAt;
  }

  /** How old it is, if that is too old, or if it is known to lack something; undefined while it is fresh. */
  get staleMs(): number | undefined {
    const ms = this.ageMs;
    return this.#doubted || ms > STALE_AFTER_MS ? ms : undefined;
  }

  /** For how much longer servers that the store has forgotten are coming back; undefined when it has forgotten nobody. */
  get recoveringMs(): number | undefined {
    const ms = this.#blankUntil - performance.now();
    return ms > 0 ? ms : undefined;
  }

  /** It is stale, or was a moment ago: whoever was kept waiting comes now. */
  get settling(): boolean {
    return this.ageMs > STALE_AFTER_MS || performance.now() < this.#settledAt;
  }

  /** The log became another a moment ago: other replicas may still be giving back what only they know. */
  get reuniting(): boolean {
    return performance.now() - this.#partedAt < REUNITING_MS;
  }

  /** Everything that the store had at this time is known; `whole`: and it had all that any replica knows; `loaded`: and something was known before. */
  refresh(asOf: number, whole: boolean, loaded: boolean) {
    if (loaded && this.ageMs > STALE_AFTER_MS) this.#settledAt = performance.now() + SETTLING_MS;
    this.#doubted = !whole || this.reuniting;
    this.#freshAt = asOf;
  }

  /** Something is lacking, and it is known that it is: answers say so at once, until the next refresh. */
  doubt() {
    this.#doubted = true;
  }

  /** Whether the log has become another just now, so that what the store does not know may yet come. */
  part(now: boolean) {
    this.#partedAt = now ? performance.now() : -Infinity;
  }

  /** The store began with nothing so long ago, and nobody knows what was there before; undefined: somebody does. */
  blankFor(ms: number | undefined) {
    this.#blankUntil = ms === undefined ? -Infinity : performance.now() + this.comeBackMs - ms;
  }
}
