import type { FastifyInstance } from 'fastify';

/**
 * Ends every JSON answer with a newline, or the next prompt stands behind it in a terminal. What a route makes as bytes (discovery, the
 * log) ends so by itself: it is not copied here.
 */
export function installNewline(app: FastifyInstance) {
  app.addHook('onSend', (_request, reply, payload, done) => {
    const isJson = typeof payload === 'string' && /json/.test(String(reply.getHeader('content-type')));
    done(null, isJson ? `${payload}\n` : payload);
  });
}
