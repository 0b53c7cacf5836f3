/**
 * What the clock of Redis says, as far as this process can know: a reply was made between the question and its arrival, so each
 * narrows the bounds. One that contradicts them says that the clock was set, or is another server's: then it alone counts.
 */
export class StoreClock {
  /** How far it is ahead of this process's monotonic clock, in ms. */
  #ahead = { atLeast: -Infinity, atMost: Infinity };

  /** Redis said `nowMs`, asked at `askedAt` and heard at `answeredAt` of the monotonic clock. */
  take(nowMs: number, askedAt: number, answeredAt = performance.now()) {
    const said = { atLeast: nowMs - answeredAt, atMost: nowMs + 1 - askedAt }; // what it says is cut to whole ms
    const narrowed = { atLeast: Math.max(said.atLeast, this.#ahead.atLeast), atMost: Math.min(said.atMost, this.#ahead.atMost) };
    this.#ahead = narrowed.atLeast <= narrowed.atMost ? narrowed : said;
  }

  /** The latest that it may say at this moment of the monotonic clock, in ms; undefined before it has said anything. */
  latestAt(ms: number): number | undefined {
    const latest = Math.ceil(ms + this.#ahead.atMost);
    return Number.isFinite(latest) ? latest : undefined;
  }
}
