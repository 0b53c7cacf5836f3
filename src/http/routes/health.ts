import type { FastifyPluginCallbackTypebox } from '@fastify/type-provider-typebox';
import { Type } from 'typebox';
import type { View } from '../../registry/view/view.js';
import { sendProblem } from '../problems/errors.js';
import { problem, retryAfter } from '../schemas.js';
import { version } from '../version.js';

export interface HealthOptions {
  /** This replica is shutting down: the balancer should look elsewhere. */
  draining: () => boolean;
  view: Pick<View, 'loaded' | 'serving'>;
  /** Redis answered lately. */
  storeReachable: () => boolean;
  /** Why a replica that begins has not got hold of Redis yet, in a word. */
  waitsFor?: () => string | undefined;
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
    response: {
      200: {
        description: 'Alive',
        content: {
          'application/json': {
            schema: Type.Object({
              status: Type.String({ examples: ['alive'] }),
              name: Type.String({ description: 'Always `rollcall`: what else may listen here is something else', examples: ['rollcall'] }),
              version: Type.String({ description: 'Of this replica; during a roll-out others may have another', examples: ['1.0.0'] }),
            }),
          },
        },
      },
    },
  },
} as const;

const readyzRoute = {
  config: { access: 'public' },
  schema: {
    operationId: 'readyz',
    summary: 'Can this replica serve?',
    description: 'It can while it has read the registry and Redis has not been silent for longer than MAX_STALE_SECONDS. With `require=redis`: while it can write, too.',
    tags: ['operations'],
    security: [],
    querystring: Type.Object(
      { require: Type.Optional(Type.Enum(['redis'], { description: 'Also insist on Redis', examples: ['redis'] })) },
      { additionalProperties: false },
    ),
    response: { 200: status('Ready', 'ready'), 503: problem('store_unavailable', 'the registry is not read yet, or Redis is silent; or `draining`: this replica is shutting down', retryAfter) },
  },
} as const;

/** `/livez` and `/readyz`, for orchestrators and balancers; no token. */
export const healthRoutes: FastifyPluginCallbackTypebox<HealthOptions> = (app, { draining, view, storeReachable, waitsFor }, done) => {
  app.get('/livez', livezRoute, () => ({ status: 'alive', name: 'rollcall', version }));

  app.get('/readyz', readyzRoute, async (request, reply) => {
    if (draining()) return sendProblem(reply, { code: 'draining', detail: 'this replica is shutting down' });
    const refuse = (detail: string) => sendProblem(reply, { code: 'store_unavailable', detail });
    const missing = waitsFor?.();
    if (missing !== undefined) return refuse(`this replica waits for Redis, which does not answer yet (${missing})`);
    if (!view.loaded) return refuse('this replica is still reading the registry');
    if (!view.serving) return refuse('Redis has been silent for longer than MAX_STALE_SECONDS');
    if (request.query.require === 'redis' && !storeReachable()) return refuse('Redis does not answer');
    return { status: 'ready' };
  });
  done();
};
