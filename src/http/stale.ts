import type { FastifyReply } from 'fastify';

/** Says how old an answer is, in whole seconds rounded up, at least 1: only where it is not fresh, or known to lack something. */
export function sayStale(reply: FastifyReply, staleMs: number | undefined) {
  if (staleMs !== undefined) reply.header('x-stale-seconds', Math.max(1, Math.ceil(staleMs / 1000)));
}
