import type { Connection } from '../connect/connection.js';
import { inTime } from '../connect/deadline.js';
import type { StoreClock } from '../connect/store-clock.js';
import { Lane } from './lane.js';
import { isNoScript, type Scripts, type Verb } from './scripts.js';
import { storeUnavailable } from '../connect/store-error.js';

/** Work of one script call: it blocks Redis while it runs (250 heartbeats take about 3 ms). */
const MAX_WORK_PER_CALL = 250;
/** A change reads its record whole and tells it: with one of 16 KB as much work as so many heartbeats. */
const CHANGE_WORK = 16;
/** Of what a call carries, as much as one more id. */
const BYTES_OF_AN_ID = 2048;
/**
 * Ids at which a turn is sent without waiting for its end, so that Redis works on them while this process still reads
 * requests. With one transaction for the whole of a long turn the two wait for each other; see bench/README.md.
 */
const EAGER_IDS = 32;
/** Less than a caller waits (connection.ts), and than it is told to wait before it tries again: what it was refused is not written over what it did next. */
const WRITTEN_WITHIN_MS = 950;

type Args = (string | number)[];
type Outcome = [Error | null, unknown];

/** One script call of a turn, for one caller or for many. */
interface Call {
  verb: Verb;
  args: Args;
  /** By then it is written, or never; on this process's monotonic clock. */
  deadline: number;
  settle: (outcome: Outcome) => void;
}

/** A call that more callers of this turn may still join. */
interface OpenCall {
  call: Call;
  waiters: Waiter[];
}

interface Waiter {
  resolve: (reply: unknown) => void;
  reject: (error: Error) => void;
}

/**
 * What a replica writes in one turn of the event loop, sent as one MULTI/EXEC of script calls in the order it came in
 * (a long turn as several, in order). Every call is all or nothing, and has its own reply, checked by itself.
 */
export class Turns {
  #calls: Call[] = [];
  #ids = 0;
  /** This turn's last call, while others may join it. */
  #open: OpenCall | undefined;
  /** Transactions on the wire for the first time. */
  #onTheWire = 0;
  /** Calls of later turns, while some are to be repeated, as where scripts are missing: they go out behind those, or order would be lost. */
  #held: Call[] | undefined;
  readonly #batches = new Lane();

  constructor(
    private readonly connection: Connection,
    private readonly scripts: Scripts,
    private readonly clock: StoreClock,
    private readonly observe: (seconds: number, failed: boolean) => void,
  ) {}

  /** Adds a script call to this turn; `ids` says how many instances it is about. */
  run(verb: Verb, args: Args, ids = 1): Promise<unknown> {
    return new Promise((resolve, reject) => {
      this.#open = undefined; // what comes later goes behind this call: order is kept
      this.#add({ verb, args, deadline: deadline(), settle: ([error, reply]) => (error ? reject(storeUnavailable(error)) : resolve(reply)) }, ids);
    });
  }

  /**
   * Adds a registration or a heartbeat to the turn's last call if that is of the same verb: a call by itself costs more
   * than what it does for one instance. Resolves to the part of the reply that is about this one.
   */
  join(verb: 'register' | 'heartbeat', args: Args): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const { call, waiters } = this.#open?.call.verb === verb ? this.#open : this.#openCall(verb);
      call.args.push(...args);
      waiters.push({ resolve, reject });
      const bytes = args.reduce<number>((sum, arg) => sum + (typeof arg === 'string' ? arg.length : 0), 0);
      this.#count((verb === 'heartbeat' && isChange(args as string[]) ? CHANGE_WORK / 4 : 1) + bytes / BYTES_OF_AN_ID);
    });
  }

  /** Many heartbeats of one caller, in order; behind those of other batches. Resolves to one reply each. */
  async beats(all: string[][]): Promise<unknown[]> {
    const calls = callsOf(all).map(({ work, beats }) => ({ work, send: () => this.run('heartbeat', beats.flat(), beats.length) as Promise<unknown[]> }));
    return (await this.#batches.all(calls)).flat();
  }

  #openCall(verb: Verb): OpenCall {
    const waiters: Waiter[] = [];
    const settle = ([error, reply]: Outcome) => {
      const refusal = error && storeUnavailable(error);
      waiters.forEach(({ resolve, reject }, i) => (refusal ? reject(refusal) : resolve((reply as unknown[])[i])));
    };
    const call: Call = { verb, args: [], deadline: deadline(), settle };
    this.#add(call, 0);
    return (this.#open = { call, waiters });
  }

  #add(call: Call, ids: number) {
    if (this.#calls.length === 0) setImmediate(() => this.#flush());
    this.#calls.push(call);
    this.#count(ids);
  }

  #count(ids: number) {
    this.#ids += ids;
    if (this.#ids >= EAGER_IDS) this.#flush();
  }

  #flush() {
    const calls = this.#calls;
    this.#calls = [];
    this.#ids = 0;
    this.#open = undefined;
    if (calls.length === 0) return;
    if (this.#held) this.#held.push(...calls);
    else void this.#transact(calls);
  }

  async #transact(calls: Call[]) {
    const startedAt = performance.now();
    this.#onTheWire++;
    const outcomes = await this.#execute(calls, 'sha');
    this.#onTheWire--;
    const answeredAt = performance.now();
    for (const [error] of outcomes) if (error) this.#hear(error, startedAt, answeredAt);
    const unmet = calls.filter(({ deadline }, i) => isNoScript(outcomes[i]?.[0]) || (isLate(outcomes[i]?.[0]) && answeredAt < deadline));
    this.observe((answeredAt - startedAt) / 1000, outcomes.some(([error], i) => error !== null && !unmet.includes(calls[i] as Call)));

    // All verbs are loaded before the first goes out again: with only some of them there, a caller's later call of another
    // verb would run before its earlier one.
    const again = unmet.length > 0 ? this.#execute(unmet, 'loading') : undefined;
    if (again) this.#held ??= [];
    if (this.#onTheWire === 0) this.#release();
    calls.forEach((call, i) => {
      if (!unmet.includes(call)) call.settle(outcomes[i] as Outcome);
    });
    if (again) (await again).forEach((outcome, i) => unmet[i]?.settle(outcome));
  }

  /** What is refused as too late says what time it is: after a failover the clock is another's, and nothing is late by it. */
  #hear(error: Error, askedAt: number, answeredAt: number) {
    const nowMs = Number(LATE.exec(error.message)?.[1]);
    if (nowMs > 0) this.clock.take(nowMs, askedAt, answeredAt);
  }

  /** All that is to be repeated is on its way again: what was held back follows. */
  #release() {
    const held = this.#held;
    this.#held = undefined;
    if (held && held.length > 0) void this.#transact(held);
  }

  /** One MULTI/EXEC; an outcome per call whatever happens, the same error for all when the transaction as a whole failed. */
  async #execute(calls: Call[], how: 'sha' | 'loading', batch = this.connection.multi()): Promise<Outcome[]> {
    try {
      if (this.connection.status !== 'ready') throw new Error('not connected to Redis'); // a Cluster would queue it for later
      const sources = how === 'loading' ? this.scripts.writing : [];
      for (const source of sources) batch.script('LOAD', source);
      for (const { verb, args, deadline } of calls) batch.evalsha(...this.scripts.command(verb, args, 'sha', this.clock.latestAt(deadline)));
      const outcomes = (await inTime(batch.exec()))?.slice(sources.length) ?? null;
      if (outcomes?.length === calls.length) return outcomes;
      throw new Error(`EXEC answered ${outcomes === null ? 'nil' : `${outcomes.length} replies for ${calls.length} calls`}`);
    } catch (error) {
      const refused = refusedQueueing(error);
      if (refused?.message.startsWith('OOM')) return this.#execute(calls, how, this.connection.pipeline());
      return calls.map(() => [refused ?? (error as Error), null]);
    }
  }
}

const LATE = /^LATE (\d+)/;
const isLate = (error: unknown) => error instanceof Error && LATE.test(error.message);
const deadline = () => performance.now() + WRITTEN_WITHIN_MS;
const isChange = ([, letters = '']: string[]) => /[scl]/.test(letters);

/** Heartbeats as calls of bounded work. Several changes of one id in one call are one. */
function callsOf(all: string[][]): { work: number; beats: string[][] }[] {
  const calls: { work: number; beats: string[][] }[] = [];
  let changed = new Set<string>();
  const workOf = (beat: string[]) => (isChange(beat) && !changed.has(beat[0] as string) ? CHANGE_WORK : 1);
  for (const beat of all) {
    let call = calls.at(-1);
    if (!call || call.work + workOf(beat) > MAX_WORK_PER_CALL) {
      calls.push((call = { work: 0, beats: [] }));
      changed = new Set();
    }
    call.work += workOf(beat);
    call.beats.push(beat);
    if (isChange(beat)) changed.add(beat[0] as string);
  }
  return calls;
}

/**
 * Why Redis refused to queue a call, and so ran none. A full Redis refuses every call of a MULTI, those too that may run when it
 * is full (heartbeats, removals: flags=allow-oom), so they go out again one by one: each is atomic by itself. Any other reason
 * holds for each of them.
 */
function refusedQueueing(error: unknown): Error | undefined {
  if (!(error instanceof Error) || !error.message.startsWith('EXECABORT')) return undefined;
  return (error as { previousErrors?: Error[] }).previousErrors?.find((one) => !one.message.startsWith('EXECABORT')) ?? error;
}
