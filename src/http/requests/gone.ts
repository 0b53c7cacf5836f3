import type { FastifyReply } from 'fastify';

/** Aborts when the caller has gone, or was answered: nobody needs to be kept waiting for it any more. */
export function goneSignal(reply: FastifyReply): AbortSignal {
  const gone = new AbortController();
  reply.raw.once('close', () => gone.abort());
  return gone.signal;
}
