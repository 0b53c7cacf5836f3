import { createHmac, timingSafeEqual } from 'node:crypto';
import type { FastifyPluginCallbackTypebox } from '@fastify/type-provider-typebox';
import { RegistryError } from '../registry/errors.js';
import { commonProblems, noContent, noQuery } from './schemas.js';
import type { Token, TokenStore } from './tokens.js';

export const SESSION_COOKIE = 'rollcall_session';
const LIFETIME_SECONDS = 12 * 3600;

/** Signature and expiry hold no dot, so all that stands before them is the name. */
const SESSION = /^(.+)\.(\d{1,12})\.[\w-]{43}$/;

/** `<token's name>.<expiry in seconds>.<signature>`. Its key is the token's digest: whoever knows the token can check it, and nothing is stored. */
export function signSession({ name, sha256 }: Token, expirySeconds: number | string): string {
  const claim = `${name}.${expirySeconds}`;
  return `${claim}.${createHmac('sha256', sha256).update(`rollcall-session:${claim}`).digest('base64url')}`;
}

/** A browser sends one for each path and domain that set it. More are no browser's, and checking them costs us more than sending them. */
const MAX_SESSIONS = 4;
const PAIR = /(?:^|;)\s*rollcall_session\s*=([^;]*)/g;

/** What the header gives for our cookie. One pass over it: splitting a hostile one into its pairs takes 30 times as long. */
const sessionsIn = (header: string) =>
  [...header.matchAll(PAIR)].slice(0, MAX_SESSIONS).map(([, value = '']) => value.trim().replace(/^"(.*)"$/, '$1'));

function tokenOfSession(session: string, tokens: TokenStore): Token | undefined {
  const [, name, expiry] = SESSION.exec(session) ?? [];
  if (name === undefined || expiry === undefined || Number(expiry) * 1000 <= Date.now()) return undefined;
  const given = Buffer.from(session);
  return tokens.named(name).findLast((token) => timingSafeEqual(given, Buffer.from(signSession(token, expiry))));
}

/**
 * The token that this Cookie header's session was made from, if it is in force still: a session ends with its token. Where one of
 * the list and one of the file share a name, the signature says which is meant.
 *
 * The expiry is read by this process's clock. That is fine here: it decides no lease, replicas that differ by seconds only
 * end a session of hours by seconds apart, and signing in again mends it.
 */
export function findSession(header: string, tokens: TokenStore): Token | undefined {
  for (const session of sessionsIn(header)) {
    const token = tokenOfSession(session, tokens);
    if (token) return token;
  }
  return undefined;
}

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
export const sessionRoutes: FastifyPluginCallbackTypebox = (app, _options, done) => {
  app.post('/session', sessionRoute, async ({ body, token, protocol }, reply) => {
    if (body !== undefined && body !== null) throw new RegistryError('invalid_request', 'this route takes no body: the token is sent as a header');
    const session = signSession(token as Token, Math.floor(Date.now() / 1000) + LIFETIME_SECONDS);
    const secure = protocol === 'https' ? '; Secure' : '';
    reply.header('set-cookie', `${SESSION_COOKIE}=${session}; Path=/; HttpOnly; SameSite=Strict; Max-Age=${LIFETIME_SECONDS}${secure}`);
    return reply.code(204).send(null);
  });
  done();
};
