import type { Logger } from 'pino';

/** How the registry's store stands, as this replica sees it. */
export type State = 'fresh' | 'stale' | 'away' | 'read-only';

/** The same state is told at most this often: one that flaps must not flood the log. */
const LINE_EVERY_MS = 10_000;
const LOOK_EVERY_MS = 250;
/** Without an answer for so long the store counts as away: as long as `readyz?require=redis` allows (reader.ts). */
const AWAY_AFTER_MS = 2000;
/** Longer, so that an outage is not first told as something else. */
const STALE_AFTER_MS = 3000;

const LINES: Record<Exclude<State, 'fresh'>, string> = {
  away: 'redis is away: writes are refused, reads are answered from memory',
  'read-only': 'redis is read-only: waiting for a primary; writes are refused, reads are answered from memory',
  stale: 'answers are stale: redis answers, and this replica has not read on',
};

/**
 * One line when the store goes away, becomes read-only or answers become stale, and one when that is over: with the address, the
 * reason and how long. What each connection meets meanwhile is told by itself and throttled; this is the line to look for.
 */
export class Standing {
  #state: State | undefined;
  #since = 0;
  #told = false;
  #answeredAt = -Infinity;
  #readOnlyAt = -Infinity;
  #reason: Error | undefined;
  readonly #toldAt = new Map<State, number>();

  constructor(
    private readonly redis: string,
    private readonly log: Logger,
    private readonly now: () => number = () => performance.now(),
  ) {}

  /** The store took a write: the pulse is one. */
  answered() {
    this.#answeredAt = this.now();
  }

  /** A connection met a store that takes no writes (`READONLY`). */
  readOnly(error: Error) {
    this.#readOnlyAt = this.now();
    this.#reason = error;
  }

  /** What a store that takes no writes said, if it did so lately. */
  get readOnlyNow(): Error | undefined {
    return this.now() - this.#readOnlyAt < AWAY_AFTER_MS ? this.#reason : undefined;
  }

  /** A connection was lost, or could not be made. */
  lost(error: Error) {
    if (!this.readOnlyNow) this.#reason = error;
  }

  /** Looks whether the state is another. `staleMs` as the view has it. */
  look(staleMs: number | undefined) {
    const state = this.#now(staleMs);
    if (state === undefined || state === this.#state) return;
    const [was, seconds] = [this.#state, Math.round((this.now() - this.#since) / 1000)];
    this.#state = state;
    this.#since = this.now();
    if (was === undefined && state === 'fresh') return;
    if (state === 'fresh') {
      if (this.#told) this.log.info({ redis: this.redis, was, seconds }, 'redis is back: writes are taken, answers are fresh');
      return;
    }
    this.#told = this.now() - (this.#toldAt.get(state) ?? -Infinity) >= LINE_EVERY_MS;
    if (!this.#told) return;
    this.#toldAt.set(state, this.now());
    this.log.error({ redis: this.redis, ...(this.#reason && { err: this.#reason }), ...(was && was !== 'fresh' && { was }) }, LINES[state]);
  }

  /** Looks again and again, from now on. */
  watch(view: { loaded: boolean; staleMs: number | undefined }) {
    const timer = setInterval(() => view.loaded && this.look(view.staleMs), LOOK_EVERY_MS).unref();
    return { stop: () => clearInterval(timer) };
  }

  #now(staleMs: number | undefined): State | undefined {
    if (staleMs === undefined) return 'fresh';
    if (this.readOnlyNow) return 'read-only';
    if (this.now() - this.#answeredAt >= AWAY_AFTER_MS) return 'away';
    return staleMs >= STALE_AFTER_MS ? 'stale' : undefined; // too early to tell which
  }
}
