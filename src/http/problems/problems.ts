import type { FieldError, Problem, ProblemCode } from '../../contract/index.js';

/** The one table from codes to statuses and titles. */
const PROBLEMS: Record<ProblemCode, { status: number; title: string }> = {
  invalid_request: { status: 400, title: 'Invalid request' },
  unauthorized: { status: 401, title: 'Token missing or unknown' },
  forbidden: { status: 403, title: 'Not allowed for this token' },
  instance_not_found: { status: 404, title: 'Instance not found' },
  route_not_found: { status: 404, title: 'No such route' },
  method_not_allowed: { status: 405, title: 'Method not allowed' },
  stale_incarnation: { status: 409, title: 'Another process owns this id' },
  payload_too_large: { status: 413, title: 'Request too large' },
  unsupported_media_type: { status: 415, title: 'Unsupported media type' },
  rate_limited: { status: 429, title: 'Too many requests' },
  store_unavailable: { status: 503, title: 'Registry store unavailable' },
  overloaded: { status: 503, title: 'Overloaded' },
  draining: { status: 503, title: 'Shutting down' },
  lock_held: { status: 409, title: 'Lock held' },
  lock_lost: { status: 404, title: 'Lock lost' },
  internal: { status: 500, title: 'Internal error' },
};

export const PROBLEM_TYPE = 'application/problem+json; charset=utf-8';

const MAX_DETAIL = 2000;

export const shownDetail = (detail: string) => (detail.length > MAX_DETAIL ? `${detail.slice(0, MAX_DETAIL)}\u2026` : detail);

/** A refusal on its way to an answer. */
export interface Refusal {
  code: ProblemCode;
  detail: string;
  /** Where a status says more than the code's own, such as 408 or 431. */
  status?: number;
  errors?: FieldError[];
  instanceId?: string;
  incarnation?: string;
}

export function problemOf(refusal: Refusal, requestId: string): Problem {
  const { code, detail, errors, instanceId, incarnation } = refusal;
  const { status, title } = PROBLEMS[code];
  return {
    type: `urn:rollcall:problem:${code}`,
    title,
    status: refusal.status ?? status,
    detail: shownDetail(detail),
    code,
    requestId,
    ...(errors && { errors }),
    ...(instanceId !== undefined && { instanceId }),
    ...(incarnation !== undefined && { incarnation }),
  };
}

export const statusOf = (code: ProblemCode) => PROBLEMS[code].status;
