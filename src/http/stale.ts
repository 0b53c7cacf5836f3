import type { FastifyReply } from 'fastify';

/** Says for how long the store has been silent, in whole seconds, where that is too long: the answer is as old. */
export function sayStale(reply: FastifyReply, staleMs: number | undefined) {
  if (staleMs !== undefined) reply.header('x-stale-seconds', Math.ceil(staleMs / 1000));
}
