/** An older view is stale: answers go on, and say so. */
const STALE_AFTER_MS = 1000;
/** After having been stale, until heartbeats come as usual. */
const SETTLING_MS = 10_000;

/** How old what a replica knows is, by its monotonic clock, and whether that is all there is to know. */
export class Freshness {
  #blankUntil = -Infinity;
  /** When the store was asked for what the view has, and answered it all. */
  #freshAt = -Infinity;
  #doubted = false;
  #settledAt = -Infinity;

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

  /** It is stale, or was a moment ago. */
  get settling(): boolean {
    return this.ageMs > STALE_AFTER_MS || performance.now() < this.#settledAt;
  }

  /** Everything that the store had at this time is known; `loaded`: and something was known before. */
  refresh(asOf: number, loaded: boolean) {
    if (loaded && this.ageMs > STALE_AFTER_MS) this.#settledAt = performance.now() + SETTLING_MS;
    this.#doubted = false;
    this.#freshAt = asOf;
  }

  blankFor(ms: number | undefined) {
    this.#blankUntil = ms === undefined ? -Infinity : performance.now() + this.comeBackMs - ms;
  }

  doubt() {
    this.#doubted = true;
  }
}
