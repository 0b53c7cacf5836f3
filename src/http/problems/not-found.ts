import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { sendProblem } from './errors.js';

/** A path's parts match a route's where they are equal or the route has a parameter. */
const fits = (route: string[], path: string[]) =>
  route.length === path.length && route.every((part, i) => part === path[i] || (part.startsWith(':') && path[i] !== ''));

/** 404 for a path that is no route, 405 with `Allow` for a route that has no such method (RFC 9110 section 15.5.6). */
export function installNotFound(app: FastifyInstance) {
  const routes = new Map<string, { parts: string[]; methods: Set<string> }>();
  app.addHook('onRoute', ({ url, method }) => {
    const route = routes.get(url) ?? { parts: url.split('/'), methods: new Set<string>() };
    for (const name of [method].flat()) route.methods.add(name);
    routes.set(url, route);
  });

  // At once, before a body is read: what is wrong with a body for no route does not matter.
  const refuse = (request: FastifyRequest, reply: FastifyReply) => {
    const path = (request.url.split('?', 1)[0] ?? '').split('/');
    const allowed = [...routes.values()].filter(({ parts }) => fits(parts, path)).flatMap(({ methods }) => [...methods]);
    if (allowed.length === 0) return sendProblem(reply, { code: 'route_not_found', detail: 'see /docs for the routes' });
    const allow = [...new Set(allowed)].sort().join(', ');
    return sendProblem(reply.header('allow', allow), { code: 'method_not_allowed', detail: `this route takes ${allow}` });
  };
  app.setNotFoundHandler(refuse);
  app.addHook('onRequest', (request, reply, done) => (request.is404 ? void refuse(request, reply) : done()));
}
