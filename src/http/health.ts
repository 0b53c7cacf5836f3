import type { FastifyPluginCallbackTypebox } from '@fastify/type-provider-typebox';
import { Type } from 'typebox';

export interface HealthOptions {
  /** This replica is shutting down: the balancer should look elsewhere. */
  draining: () => boolean;
  /** Redis answered lately. */
  storeReachable: () => boolean;
}

const Health = Type.Object({ status: Type.String({ examples: ['ready'] }), redis: Type.String({ examples: ['reachable'] }) });
const health = (description: string) => ({ description, content: { 'application/json': { schema: Health } } });

const livezRoute = {
  config: { access: 'public' },
  schema: {
    operationId: 'livez',
    summary: 'Is the process alive?',
    description: 'Says nothing of Redis: a restart would not mend that.',
    tags: ['operations'],
    security: [],
    response: { 200: { description: 'Alive', content: { 'application/json': { schema: Type.Object({ status: Type.String({ examples: ['alive'] }) }) } } } },
  },
} as const;

const readyzRoute = {
  config: { access: 'public' },
  schema: {
    operationId: 'readyz',
    summary: 'Can this replica serve?',
    tags: ['operations'],
    security: [],
    querystring: Type.Object(
      { require: Type.Optional(Type.Enum(['redis'], { description: 'Also insist on Redis', examples: ['redis'] })) },
      { additionalProperties: false },
    ),
    response: { 200: health('Ready'), 503: health('Draining, or Redis is away') },
  },
} as const;

/** `/livez` and `/readyz`, for orchestrators and balancers; no token. */
export const healthRoutes: FastifyPluginCallbackTypebox<HealthOptions> = (app, { draining, storeReachable }, done) => {
  app.get('/livez', livezRoute, () => ({ status: 'alive' }));

  // Until replicas answer from memory, one that cannot reach Redis can serve nothing: `require=redis` changes nothing yet.
  app.get('/readyz', readyzRoute, async (_request, reply) => {
    const reachable = storeReachable();
    const status = draining() ? 'draining' : reachable ? 'ready' : 'unready';
    return reply.code(status === 'ready' ? 200 : 503).send({ status, redis: reachable ? 'reachable' : 'away' });
  });
  done();
};
