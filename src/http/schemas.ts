import { Type, type Static, type TSchema } from 'typebox';
import { DiscoverReply, eventSchemas, EventsReply, EvictReply, GroupsReply, Heartbeat, HeartbeatBatch, HeartbeatBatchReply, HeartbeatReply, Instance, InstancePatch, lockSchemas, Problem, RegisterReply, Registration, watchSchemas, type ProblemCode } from '../contract/index.js';
import { problemOf } from './problems/problems.js';

/** The shapes that have a name in the OpenAPI document. Routes refer to them, so each stands there once. */
export const sharedSchemas = [
  DiscoverReply, EventsReply, EvictReply, GroupsReply, Heartbeat, HeartbeatBatch, HeartbeatBatchReply, HeartbeatReply, Instance, InstancePatch,
  Problem, RegisterReply, Registration, ...eventSchemas, ...watchSchemas, ...lockSchemas,
];

const idOf = (schema: TSchema) => (schema as { $id?: string }).$id as string;

/** A reference to a shared schema, with its type. */
export const ref = <T extends TSchema>(schema: T) => Type.Unsafe<Static<T>>({ $ref: `${idOf(schema)}#` });

type Headers = Record<string, { type: string; description: string }>;

export const jsonReply = (schema: TSchema, description: string, headers?: Headers) => ({
  description,
  content: { 'application/json': { schema: ref(schema) } },
  ...(headers && { headers }),
});

export const revisionHeader: Headers = { 'X-Revision': { type: 'string', description: 'Position of the last change' } };
/** Of answers that may be incomplete. */
export const uncertainHeaders: Headers = {
  'X-Stale-Seconds': { type: 'integer', description: 'Only on an answer that may be incomplete: how old it is, in whole seconds rounded up, at least 1' },
  'X-Recovering': { type: 'integer', description: 'Only after Redis was found empty and no replica knew what was in it: for how many seconds servers are still coming back. Keep the list that you have' },
};
/** Of answers from memory. */
export const readHeaders: Headers = {
  ETag: { type: 'string', description: 'Of the content, weak: the same on every replica, and not touched by heartbeats' },
  'X-Revision': { type: 'string', description: 'The last change that the answer takes into account' },
  ...uncertainHeaders,
};
export const retryAfter: Headers = { 'Retry-After': { type: 'integer', description: 'Seconds to wait' } };

const PROBLEM_MEDIA = 'application/problem+json';

/** A refusal in the document, with the example that its code makes. */
export const problem = (code: ProblemCode, detail: string, headers?: Headers) => ({
  description: `\`${code}\`: ${detail}`,
  content: { [PROBLEM_MEDIA]: { schema: ref(Problem), example: problemOf({ code, detail }, 'b3k9-1f') } },
  ...(headers && { headers }),
});

/** For routes that take no query: a parameter is refused, not ignored. */
export const noQuery = Type.Object({}, { additionalProperties: false });

/** A refusal of what was sent: an example that can occur on this very route. */
const invalid = (pointer: string, detail: string) => ({
  description: `\`invalid_request\`: \`errors\` names each field and what was expected, as in \`${pointer} ${detail}\``,
  content: {
    [PROBLEM_MEDIA]: {
      schema: ref(Problem),
      example: problemOf({ code: 'invalid_request', detail: `${pointer} ${detail}`, errors: [{ pointer, detail }] }, 'b3k9-1f'),
    },
  },
});

/** What any route behind a token may answer. `pointer` and `detail` are what a caller of this one may get wrong. */
export const commonProblems = (pointer: string, detail: string) => ({
  400: invalid(pointer, detail),
  401: problem('unauthorized', 'no valid token', {
    'WWW-Authenticate': { type: 'string', description: 'How to authenticate' },
  }),
  403: problem('forbidden', 'the token lacks the verb, or the type or group'),
  429: problem('rate_limited', 'more requests a second than this token may send', retryAfter),
  503: problem('store_unavailable', 'Redis did not answer in time. A write may have happened: repeat it, it is idempotent', retryAfter),
});

/** What a route with a body may answer besides. */
export const bodyProblems = {
  413: problem('payload_too_large', 'the body is larger than this route takes'),
  415: problem('unsupported_media_type', 'send Content-Type: application/json'),
};

export const notFoundProblem = { 404: problem('instance_not_found', 'unknown, or its lease has ended') };
export const staleProblem = { 409: problem('stale_incarnation', 'another process owns the id') };

export const noContent = (description: string, headers?: Headers) => ({
  ...Type.Null({ description }),
  ...(headers && { headers }),
});

