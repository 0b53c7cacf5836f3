import type { FastifyPluginCallbackTypebox } from '@fastify/type-provider-typebox';
import { RegistryError } from '../../registry/errors.js';
import { LIFETIME_SECONDS, SESSION_COOKIE, signSession, type SessionSecret } from '../auth/sessions.js';
import type { Token } from '../auth/tokens.js';
import { commonProblems, noContent, noQuery } from '../schemas.js';

const sessionRoute = {
  config: { access: 'read' },
  schema: {
    operationId: 'createSession',
    summary: 'Exchange a token for a session cookie',
    description:
      'For browsers, whose EventSource sends no headers. The cookie stands for the token in GET and HEAD requests without one, for 12 hours or until the ' +
      'token is withdrawn. Every replica takes it. A session makes no other: send the token itself.',
    tags: ['operations'],
    querystring: noQuery,
    response: {
      204: noContent('The cookie is set', { 'Set-Cookie': { type: 'string', description: `${SESSION_COOKIE}: HttpOnly, SameSite=Strict, and Secure over HTTPS` } }),
      ...commonProblems('?token', 'is not a known parameter'),
    },
  },
} as const;

/** `/sd/v1/session`: a token as a cookie. */
export const sessionRoutes: FastifyPluginCallbackTypebox<{ sessionSecret: SessionSecret }> = (app, { sessionSecret }, done) => {
  app.post('/session', sessionRoute, async ({ body, token, protocol }, reply) => {
    if (body !== undefined && body !== null) throw new RegistryError('invalid_request', 'this route takes no body: the token is sent as a header');
    const secret = sessionSecret();
    if (!secret) throw new RegistryError('store_unavailable', 'this replica has not read what sessions are signed with: Redis does not answer');
    const session = signSession(token as Token, Math.floor(Date.now() / 1000) + LIFETIME_SECONDS, secret);
    const secure = protocol === 'https' ? '; Secure' : '';
    reply.header('set-cookie', `${SESSION_COOKIE}=${session}; Path=/; HttpOnly; SameSite=Strict; Max-Age=${LIFETIME_SECONDS}${secure}`);
    return reply.code(204).send(null);
  });
  done();
};
