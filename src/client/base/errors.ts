import type { FieldError, ProblemCode } from '../../contract/index.js';

/** `unreachable`: no gateway, or no Redis, answered within the time limit; what was sent may have happened. The others are the API's own. */
export type ErrorCode = ProblemCode | 'unreachable';

export interface ErrorDetails {
  /** HTTP status, where there was an answer. */
  status?: number;
  /** Finds the request in the gateway's log. */
  requestId?: string;
  /** The fields at fault. */
  errors?: FieldError[];
  /** How long the gateway asks to wait before the next try, in ms. */
  retryAfterMs?: number;
  cause?: unknown;
}

/** What every call of a client rejects with. Switch over `code`: the list is closed. */
export class RollcallError extends Error {
  constructor(
    readonly code: ErrorCode,
    message: string,
    readonly details: ErrorDetails = {},
  ) {
    super(message, { cause: details.cause });
    this.name = 'RollcallError';
  }
}

/** Nothing that was said is wrong: the same call may succeed later. */
const PASSING: readonly ErrorCode[] = ['unreachable', 'store_unavailable', 'overloaded', 'draining', 'rate_limited', 'internal'];

export const isPassing = (error: unknown): error is RollcallError => error instanceof RollcallError && PASSING.includes(error.code);

/** An option that `createClient` cannot work with. @throws {RollcallError} invalid_request, which names it. */
export function refuseOption(name: string, expected: string, given?: unknown): never {
  const said = given === undefined ? '' : `, not ${JSON.stringify(given)}`;
  throw new RollcallError('invalid_request', `createClient: ${name} must be ${expected}${said}`, { errors: [{ pointer: `/${name}`, detail: `must be ${expected}` }] });
}
