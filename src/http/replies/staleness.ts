import type { FastifyReply } from 'fastify';
import type { Certainty } from '../../registry/registry.js';

/**
 * Says of an answer what is not certain. `X-Stale-Seconds`: how old it is, where it is not fresh or known to lack something.
 * `X-Recovering`: for how much longer servers are coming back that the store has forgotten. Whole seconds, rounded up, at least 1.
 */
export function sayUncertain(reply: FastifyReply, { staleMs, recoveringMs }: Certainty) {
  if (staleMs !== undefined) reply.header('x-stale-seconds', Math.max(1, Math.ceil(staleMs / 1000)));
  if (recoveringMs !== undefined) reply.header('x-recovering', Math.ceil(recoveringMs / 1000));
}
