import type { Connection } from './connection.js';
import { isNoScript, type Scripts, type Verb } from './scripts.js';
import { storeUnavailable } from './store-error.js';

/** Ids in one heartbeat call: a script blocks Redis while it runs (250 take about 2 ms). */
const MAX_BEATS_PER_CALL = 250;
/** Ids in one MULTI/EXEC, for the same reason: it runs as a whole. */
const MAX_IDS_PER_TRANSACTION = 500;

interface Waiting {
  resolve: (reply: unknown) => void;
  reject: (error: Error) => void;
}

/** One script call of a turn. A heartbeat call carries many callers, each waiting for its part of the reply. */
interface Call {
  verb: Verb;
  args: (string | number)[];
  waiting: Waiting[];
}

type Outcome = [Error | null, unknown];

/**
 * What a replica writes in one turn of the event loop, sent as one MULTI/EXEC of script calls in the order it came in.
 * So a turn costs one round trip, and every call is all or nothing. Each call has its own reply, checked by itself.
 */
export class Turns {
  #calls: Call[] = [];

  constructor(
    private readonly connection: Connection,
    private readonly scripts: Scripts,
    private readonly observe: (seconds: number, failed: boolean) => void,
  ) {}

  /** Adds a script call to this turn. */
  run(verb: Verb, args: (string | number)[]): Promise<unknown> {
    return new Promise((resolve, reject) => {
      this.#add({ verb, args, waiting: [{ resolve, reject }] });
    });
  }

  /** Adds one heartbeat's arguments to this turn's call, unless another verb came in between: order is kept. */
  beat(args: string[]): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const last = this.#calls.at(-1);
      if (last?.verb === 'heartbeat' && last.waiting.length < MAX_BEATS_PER_CALL) {
        last.args.push(...args);
        last.waiting.push({ resolve, reject });
      } else {
        this.#add({ verb: 'heartbeat', args: [...args], waiting: [{ resolve, reject }] });
      }
    });
  }

  #add(call: Call) {
    if (this.#calls.length === 0) setImmediate(() => this.#flush());
    this.#calls.push(call);
  }

  #flush() {
    const calls = this.#calls;
    this.#calls = [];
    for (let start = 0; start < calls.length; ) {
      let end = start;
      for (let ids = 0; end < calls.length && ids < MAX_IDS_PER_TRANSACTION; end++) ids += calls[end]!.waiting.length;
      void this.#transact(calls.slice(start, end));
      start = end;
    }
  }

  async #transact(calls: Call[]) {
    const startedAt = performance.now();
    const outcomes = await this.#execute(calls, 'sha');
    const failed = outcomes.some(([error]) => error !== null && !isNoScript(error));
    this.observe((performance.now() - startedAt) / 1000, failed);

    const unloaded = calls.filter((_, i) => isNoScript(outcomes[i]?.[0]));
    calls.forEach((call, i) => {
      if (!unloaded.includes(call)) settle(call, outcomes[i] as Outcome);
    });
    if (unloaded.length === 0) return;
    const again = await this.#execute(unloaded, 'source');
    unloaded.forEach((call, i) => settle(call, again[i] as Outcome));
  }

  /** One MULTI/EXEC; an outcome per call whatever happens, the same error for all when the transaction as a whole failed. */
  async #execute(calls: Call[], how: 'sha' | 'source'): Promise<Outcome[]> {
    try {
      const multi = this.connection.multi();
      for (const { verb, args } of calls) {
        const command = this.scripts.command(verb, args, how);
        if (how === 'sha') multi.evalsha(...command);
        else multi.eval(...command);
      }
      const outcomes = await multi.exec();
      if (outcomes?.length === calls.length) return outcomes;
      throw new Error(`EXEC answered ${outcomes === null ? 'nil' : `${outcomes.length} replies for ${calls.length} calls`}`);
    } catch (error) {
      return calls.map(() => [error as Error, null]);
    }
  }
}

function settle(call: Call, [error, reply]: Outcome) {
  if (error) {
    const refusal = storeUnavailable(error);
    for (const { reject } of call.waiting) reject(refusal);
  } else if (call.verb === 'heartbeat') {
    const [epoch, ...results] = reply as [string, ...unknown[][]];
    call.waiting.forEach(({ resolve }, i) => resolve([epoch, ...(results[i] ?? [])]));
  } else {
    call.waiting[0]?.resolve(reply);
  }
}
