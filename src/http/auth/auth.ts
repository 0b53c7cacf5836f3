import rateLimit from '@fastify/rate-limit';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { RegistryError } from '../../registry/errors.js';
import type { Caller } from '../../registry/registry.js';
import { ScopedRegistry } from '../../registry/served/scoped-registry.js';
import type { ServedRegistry } from '../../registry/served/served-registry.js';
import { addressOf } from '../requests/observed-ip.js';
import type { Token, TokenStore, TokenVerb } from './tokens.js';
import { findSession, type SessionSecret } from './sessions.js';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** What a token must be allowed to do; `public` needs none. */
    access?: TokenVerb | 'public';
    /** What it tells is of the whole registry: not for a token with patterns. `admin` will do for it, too. */
    whole?: boolean;
    /** Heartbeats count by themselves: other traffic must not push leases out. */
    bucket?: 'heartbeat';
  }
  interface FastifyInstance {
    /** What this request was let in with is still good for it: nothing was withdrawn, narrowed or has run out since. */
    mayStill: (request: FastifyRequest) => boolean;
  }
  interface FastifyRequest {
    /** Who calls; null on public routes. */
    token: Token | null;
    /** The registry as this token may see it. */
    registry: ServedRegistry;
  }
}

const FAILURES_PER_SECOND = 20;

/** The secret, from `X-API-Token` or `Authorization: Bearer`; never from the URL, which ends up in logs and histories. */
function secretOf({ headers }: FastifyRequest): string | undefined {
  const header = headers['x-api-token'];
  if (typeof header === 'string') return header;
  const bearer = headers.authorization;
  return bearer !== undefined && /^bearer /i.test(bearer) ? bearer.slice(7) : undefined;
}

/** Whose request this is: by its token, or else, where it only reads, by its session. A token that is wrong is not made up for by a session. */
function tokenOf(request: FastifyRequest, tokens: TokenStore, sessionSecret: SessionSecret): Token | undefined {
  const { headers, method } = request;
  const secret = secretOf(request);
  if (secret !== undefined) return tokens.find(secret);
  if (headers.authorization !== undefined || headers.cookie === undefined) return undefined;
  return method === 'GET' || method === 'HEAD' ? findSession(headers.cookie, tokens, sessionSecret()) : undefined;
}

/** What this token lacks for a route. */
function lackOf({ verbs, scope }: Token, access: TokenVerb, whole: boolean): string | undefined {
  if (whole && scope) return 'this tells of the whole registry, and the token is for a part of it: use one without types and groups';
  return verbs.has(access) || (whole && verbs.has('admin')) ? undefined : `this token may not ${access}`;
}

/** Who causes an event, for the event. */
export const callerOf = ({ token }: FastifyRequest): Caller => ({ name: token?.name ?? '' });

export interface AuthOptions {
  tokens: TokenStore;
  sessionSecret: SessionSecret;
  registry: ServedRegistry;
  rateLimitPerSecond: number | undefined;
}

/** Checks tokens before the body is read. A route without `access` needs `admin`: forgetting it fails closed. */
export async function installAuth(app: FastifyInstance, { tokens, sessionSecret, registry, rateLimitPerSecond }: AuthOptions) {
  await app.register(rateLimit, { global: false });
  const failures = app.createRateLimit({ max: FAILURES_PER_SECOND, timeWindow: 1000, keyGenerator: addressOf });
  const requests =
    rateLimitPerSecond === undefined
      ? undefined
      : app.createRateLimit({
          max: rateLimitPerSecond,
          timeWindow: 1000,
          keyGenerator: ({ token, routeOptions }) => `${token?.name} ${routeOptions.config.bucket ?? ''}`,
        });

  const refuse = async (request: FastifyRequest): Promise<never> => {
    const limit = await failures(request);
    if (!limit.isAllowed && limit.isExceeded) throw new RegistryError('rate_limited', 'too many requests without a valid token from this address');
    throw new RegistryError('unauthorized', 'send a valid token as X-API-Token, or as Authorization: Bearer');
  };
  const countRequest = async (request: FastifyRequest, check: NonNullable<typeof requests>) => {
    const limit = await check(request);
    if (!limit.isAllowed && limit.isExceeded) throw new RegistryError('rate_limited', `more than ${rateLimitPerSecond} requests a second with this token`);
  };

  const scoped = new WeakMap<Token, ServedRegistry>();
  const registryFor = (token: Token) => {
    if (!token.scope) return registry;
    const known = scoped.get(token) ?? new ScopedRegistry(registry, token.scope);
    scoped.set(token, known);
    return known;
  };

  app.decorate('mayStill', (request: FastifyRequest) => {
    const now = tokenOf(request, tokens, sessionSecret);
    const access = request.routeOptions.config.access as TokenVerb;
    return now !== undefined && now.verbs.has(access) && JSON.stringify(now.scope) === JSON.stringify(request.token?.scope);
  });
  app.decorateRequest('token', null);
  app.decorateRequest('registry');
  app.addHook('onRequest', (request, _reply, done) => {
    const access = request.is404 ? 'public' : (request.routeOptions.config.access ?? 'admin');
    if (access === 'public') return done();
    const token = tokenOf(request, tokens, sessionSecret);
    if (!token) return void refuse(request).catch(done);
    const lack = lackOf(token, access, request.routeOptions.config.whole ?? false);
    if (lack !== undefined) return done(new RegistryError('forbidden', lack));
    request.token = token;
    request.registry = registryFor(token);
    if (!requests) return done();
    void countRequest(request, requests).then(() => done(), done);
  });
}
