import type { Logger } from 'pino';

/** How the registry's store stands, as this replica sees it. */
export type State = 'fresh' | 'stale' | 'away' | 'read-only';

/** The same state is told at most this often: one that flaps must not flood the log. */
const LINE_EVERY_MS = 10_000;
const LOOK_EVERY_MS = 250;
/** Without an answer for so long the store counts as away: as long as `readyz?require=redis` allows (reader.ts). */
const AWAY_AFTER_MS = 2000;
/** Longer, so that neither an outage nor its end is told as something else. */
const STALE_AFTER_MS = 3000;
/** Looks that come so much too late tell of this process, not of the store. */
const HELD_UP_MS = 2000;

const NO_REPLY = Object.assign(new Error('no reply'), { code: 'SILENT' });

/** A state that was entered and has no line yet. */
interface Unsaid {
  state: Exclude<State, 'fresh'>;
  was?: State;
}

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
  /** When it was fresh for the last time, and what was told since. */
  #since = 0;
  #told: State | undefined;
  #unsaid: Unsaid | undefined;
  #lookedAt = Infinity;
  #answeredAt = -Infinity;
  #returnedAt = -Infinity;
  #readOnlyAt = -Infinity;
  #reason: Error | undefined;
  readonly #toldAt = new Map<State | 'held up', number>();

  constructor(
    private readonly redis: string,
    private readonly log: Logger,
    private readonly now: () => number = () => performance.now(),
  ) {}

  /** The store took a write: the pulse is one. */
  answered() {
    if (this.now() - this.#answeredAt >= AWAY_AFTER_MS) this.#returnedAt = this.now();
    this.#answeredAt = this.now();
    if (!this.readOnlyNow) this.#reason = undefined;
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

  /** A connection was closed: a reason only while no better one is known. */
  closed(error: Error) {
    this.#reason ??= error;
  }

  /** Looks whether the state is another. `staleMs` as the view has it. */
  look(staleMs: number | undefined) {
    if (this.#heldUp()) return;
    const state = this.#now(staleMs);
    if (state === undefined) return;
    if (state !== this.#state) this.#enter(state, staleMs);
    // Not only when it is entered: of one that began within ten seconds of the last the line comes later, for it may stay for hours.
    if (this.#unsaid && this.#mayTell(this.#unsaid.state)) this.#tell(this.#unsaid);
  }

  #enter(state: State, staleMs = 0) {
    const was = this.#state;
    this.#state = state;
    this.#unsaid = undefined;
    if (state === 'fresh') return this.#back();
    if (was === undefined || was === 'fresh') this.#since = this.now() - staleMs;
    this.#unsaid = { state, ...(was && was !== 'fresh' && { was }) };
  }

  #tell({ state, was }: Unsaid) {
    this.#unsaid = undefined;
    this.#told ??= state;
    const err = this.#reason ?? (state === 'away' ? NO_REPLY : undefined);
    const since = new Date(Date.now() - (this.now() - this.#since)).toISOString();
    this.log.error({ redis: this.redis, since, ...(err && { err }), ...(was && { was }) }, LINES[state]);
  }

  #back() {
    const seconds = Math.round((this.now() - this.#since) / 1000);
    if (this.#told) this.log.info({ redis: this.redis, was: this.#told, seconds }, 'redis is back: writes are taken, answers are fresh');
    this.#told = undefined;
  }

  /** Stopped, swapped out or short of CPU. What Redis answered meanwhile is read after this look, so it says nothing of Redis. */
  #heldUp(): boolean {
    const lateMs = this.now() - this.#lookedAt - LOOK_EVERY_MS;
    this.#lookedAt = this.now();
    if (lateMs < HELD_UP_MS) return false;
    if (this.#mayTell('held up')) this.log.warn({ seconds: Math.round(lateMs / 1000) }, 'this process was held up: stopped, or short of CPU or memory');
    return true;
  }

  #mayTell(what: State | 'held up'): boolean {
    if (this.now() - (this.#toldAt.get(what) ?? -Infinity) < LINE_EVERY_MS) return false;
    this.#toldAt.set(what, this.now());
    return true;
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
    return Math.min(staleMs, this.now() - this.#returnedAt) >= STALE_AFTER_MS ? 'stale' : undefined; // too early to tell which
  }
}
