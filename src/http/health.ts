import type { FastifyPluginCallbackTypebox } from '@fastify/type-provider-typebox';
import { Type } from 'typebox';
import { sendProblem } from './errors.js';
import { problem, retryAfter } from './schemas.js';

export interface HealthOptions {
  /** This replica is shutting down: the balancer should look elsewhere. */
  draining: () => boolean;
  /** Redis answered lately. */
  storeReachable: () => boolean;
}

const status = (description: string, example: string) => ({
  description,
  content: { 'application/json': { schema: Type.Object({ status: Type.String({ examples: [example] }) }) } },
});

const livezRoute = {
  config: { access: 'public' },
  schema: {
    operationId: 'livez',
    summary: 'Is the process alive?',
    description: 'Says nothing of Redis: a restart would not mend that.',
    tags: ['operations'],
    security: [],
    response: { 200: status('Alive', 'alive') },
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
    response: { 200: status('Ready', 'ready'), 503: problem('store_unavailable', 'Redis does not answer; or `draining`: this replica is shutting down', retryAfter) },
  },
} as const;

/** `/livez` and `/readyz`, for orchestrators and balancers; no token. */
export const healthRoutes: FastifyPluginCallbackTypebox<HealthOptions> = (app, { draining, storeReachable }, done) => {
  app.get('/livez', livezRoute, () => ({ status: 'alive' }));

  // Until replicas answer from memory, one that cannot reach Redis can serve nothing: `require=redis` changes nothing yet.
  app.get('/readyz', readyzRoute, async (_request, reply) => {
    if (draining()) return sendProblem(reply, { code: 'draining', detail: 'this replica is shutting down' });
    if (!storeReachable()) return sendProblem(reply, { code: 'store_unavailable', detail: 'Redis does not answer' });
    return { status: 'ready' };
  });
  done();
};
