import { Type, type Static } from 'typebox';
import { Incarnation, InstanceId } from './names.js';

/** The closed list of error codes. A client may switch over it; a new code is a new version of the API. */
export const PROBLEM_CODES = [
  'invalid_request',
  'unauthorized',
  'forbidden',
  'instance_not_found',
  'route_not_found',
  'method_not_allowed',
  'stale_incarnation',
  'payload_too_large',
  'unsupported_media_type',
  'rate_limited',
  'store_unavailable',
  'overloaded',
  'draining',
  'lock_held',
  'lock_lost',
  'internal',
] as const;
export type ProblemCode = (typeof PROBLEM_CODES)[number];
export const ProblemCode = Type.Enum([...PROBLEM_CODES], { description: 'What went wrong, for programs' });

/** One offending field: an RFC 6901 pointer into the body, or `?name`, `/{name}` for query and path. */
const FieldError = Type.Object({
  pointer: Type.String({ examples: ['/ports/0/port'] }),
  detail: Type.String({ examples: ['must be <= 65535'] }),
});
export type FieldError = Static<typeof FieldError>;

export const Problem = Type.Object(
  {
    type: Type.String({ examples: ['urn:rollcall:problem:invalid_request'] }),
    title: Type.String({ examples: ['Invalid request'] }),
    status: Type.Integer({ examples: [400] }),
    detail: Type.String({ examples: ['/ports/0/port must be <= 65535'] }),
    code: ProblemCode,
    requestId: Type.String({ examples: ['b3k9-1f'] }),
    errors: Type.Optional(Type.Array(FieldError, { description: 'The fields at fault' })),
    instanceId: Type.Optional({ ...InstanceId, description: 'On a failed registration: the id to retry with' }),
    incarnation: Type.Optional({ ...Incarnation, description: 'On a failed registration: the incarnation to retry with' }),
  },
  { $id: 'Problem', description: 'RFC 9457 problem details' },
);
export type Problem = Static<typeof Problem>;
