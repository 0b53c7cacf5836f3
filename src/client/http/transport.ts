import type { Problem } from '../../contract/index.js';
import { linked } from '../base/linked.js';
import { sleep } from '../base/sleep.js';
import { isPassing, RollcallError, type ErrorCode } from '../base/errors.js';

export interface TransportOptions {
  /** Of the gateways or balancers, without `/sd/v1`. Tried in turn, from the last that answered. */
  baseURLs: readonly string[];
  token: string | undefined;
  /** For a whole call, in ms, whatever number of tries it takes. */
  timeoutMs: number;
  fetch: typeof globalThis.fetch;
}

export interface Call {
  method?: string;
  /** Below `/sd/v1`, each part encoded. */
  path: string;
  query?: Record<string, string | undefined>;
  body?: unknown;
  headers?: Record<string, string>;
  /** The answer may be kept back for so long on purpose: each try, and the whole call, may take that much longer. */
  waitMs?: number;
  signal?: AbortSignal | undefined;
}

export interface Reply {
  status: number;
  headers: Headers;
  body: unknown;
}

/** A try is given at least this, in ms, however many gateways are left to be asked. */
const TRY_MS = 1000;
/** A call that waits has its wait, and so much. */
const WAITED_FOR_MS = 10_000;
/** Between two rounds over all gateways, in ms: doubled each time, and spread. */
const PAUSE_MS = 100;
const MAX_PAUSE_MS = 1000;

/**
 * Calls of the API. Each has one time limit, goes on to the next base URL within it, and is repeated as it is: every write names its
 * ids, so the same call twice is the same as once. What the API refuses for good is refused at once.
 */
export class Transport {
  /** The one that answered last. */
  #preferred = 0;

  constructor(private readonly options: TransportOptions) {}

  /** @throws {RollcallError} the API's code; `unreachable` when nobody answered in time. Rejects with the signal's reason when that aborts. */
  async send(call: Call): Promise<Reply> {
    const { baseURLs, timeoutMs: usual } = this.options;
    const { waitMs = 0 } = call;
    const until = performance.now() + waitMs + (waitMs > 0 ? WAITED_FOR_MS : usual);
    for (let tries = 0; ; tries++) {
      const left = until - performance.now();
      const round = tries % baseURLs.length;
      const share = Math.min(left, Math.max(waitMs + TRY_MS, left / (baseURLs.length - round)));
      try {
        return await this.#try(call, Math.max(1, share));
      } catch (error) {
        call.signal?.throwIfAborted();
        if (!isPassing(error)) throw error;
        this.#preferred = (this.#preferred + 1) % baseURLs.length;
        const pause = round + 1 < baseURLs.length ? 0 : pauseAfter(error, Math.floor(tries / baseURLs.length));
        if (performance.now() + pause >= until) throw error;
        await sleep(pause, call.signal);
      }
    }
  }

  /** A stream, from the gateway that answered last; `signal` ends the waiting for it. Whoever reads it decides what its silence means, and ends it. */
  async open(call: Call, signal: AbortSignal): Promise<ReadableStream<Uint8Array>> {
    const headers = linked([signal], this.options.timeoutMs);
    try {
      const reply = await this.#fetch(call, headers.signal);
      if (reply.ok && reply.body) return reply.body;
      throw problemOf(reply, await reply.text());
    } catch (error) {
      signal.throwIfAborted();
      this.#preferred = (this.#preferred + 1) % this.options.baseURLs.length;
      throw error instanceof RollcallError ? error : this.#unreachable(error);
    } finally {
      headers.over(); // the body is ended by whoever reads it
    }
  }

  async #try(call: Call, withinMs: number): Promise<Reply> {
    const limit = linked([call.signal], withinMs);
    try {
      const reply = await this.#fetch(call, limit.signal);
      const text = await reply.text(); // within the limit too
      if (!reply.ok && reply.status !== 304) throw problemOf(reply, text);
      return { status: reply.status, headers: reply.headers, body: text === '' ? undefined : JSON.parse(text) };
    } catch (error) {
      throw error instanceof RollcallError ? error : this.#unreachable(error);
    } finally {
      limit.over();
    }
  }

  #fetch({ method = 'GET', path, query = {}, body, headers = {} }: Call, signal: AbortSignal): Promise<Response> {
    const { baseURLs, token, fetch } = this.options;
    const asked = new URLSearchParams(Object.entries(query).filter((pair): pair is [string, string] => pair[1] !== undefined)).toString();
    const url = `${baseURLs[this.#preferred]}/sd/v1${path}${asked && `?${asked}`}`;
    const json = body === undefined ? {} : { 'content-type': 'application/json' };
    const all = { ...(token !== undefined && { 'x-api-token': token }), ...json, ...headers };
    return fetch(url, { method, headers: all, signal, redirect: 'error', ...(body !== undefined && { body: JSON.stringify(body) }) });
  }

  #unreachable(cause: unknown): RollcallError {
    const why = cause instanceof Error ? (cause.cause instanceof Error ? cause.cause.message : cause.message) : 'no answer';
    return new RollcallError('unreachable', `no answer from ${this.options.baseURLs[this.#preferred]} (${why}): is the gateway running there?`, { cause });
  }
}

/** What a gateway, or a balancer before it, refused with. */
function problemOf({ status, headers }: Response, text: string): RollcallError {
  const seconds = Number(headers.get('retry-after') ?? NaN);
  const waits = Number.isFinite(seconds) ? { retryAfterMs: seconds * 1000 } : {};
  try {
    const { code, detail, requestId, errors } = JSON.parse(text) as Problem;
    if (typeof code === 'string') return new RollcallError(code, detail, { status, requestId, ...(errors && { errors }), ...waits });
  } catch {
    // not of the API: a balancer's own words, or another server
  }
  const code: ErrorCode = status >= 500 ? 'internal' : 'route_not_found';
  return new RollcallError(code, `HTTP ${status}, and not in the words of a Rollcall gateway: is the base URL right?`, { status, ...waits });
}

function pauseAfter({ details: { retryAfterMs } }: RollcallError, rounds: number): number {
  const pause = Math.min(MAX_PAUSE_MS, PAUSE_MS * 2 ** Math.min(rounds, 10));
  return Math.max(retryAfterMs ?? 0, pause * (0.5 + Math.random() / 2));
}
