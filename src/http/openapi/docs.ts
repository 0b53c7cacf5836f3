import { hash } from 'node:crypto';
import helmet from '@fastify/helmet';
import swaggerUi from '@fastify/swagger-ui';
import type { FastifyInstance } from 'fastify';
import { version } from '../version.js';

/** The plugin's own policy would upgrade requests to HTTPS, which breaks the page on a gateway without it. */
const POLICY = [
  "default-src 'self'", "base-uri 'self'", "font-src 'self' data:", "frame-ancestors 'self'", "img-src 'self' data:",
  "object-src 'none'", "script-src 'self'", "script-src-attr 'none'", "style-src 'self' 'unsafe-inline'", "form-action 'self'",
].join('; ');

const ONLY_BOX = 'X-API-Token';

interface Secured {
  components?: object;
  paths?: Record<string, Record<string, { security?: object[] }>>;
}

/**
 * The document as Swagger UI shows it: with one way to authorize, under the name of its header. Of three boxes people take the wrong
 * one, and a page's script cannot send the session's cookie at all.
 */
function withOneBox(document: Secured): Secured {
  for (const operation of Object.values(document.paths ?? {}).flatMap((methods) => Object.values(methods))) {
    if (operation.security?.length) operation.security = [{ [ONLY_BOX]: [] }];
  }
  const description = 'The token that `npm start` prints, or one of `API_TOKENS`';
  return { ...document, components: { ...document.components, securitySchemes: { [ONLY_BOX]: { type: 'apiKey', in: 'header', name: ONLY_BOX, description } } } };
}

/** The documents do not change while the process lives: each is written once, and whoever has it is told so. */
function writeOnce(app: FastifyInstance, urls: string[]) {
  const written = new Map<string, { body: Buffer; etag: string }>();
  app.addHook('onRequest', (request, reply, done) => {
    const known = written.get(request.routeOptions.url ?? '');
    if (!known) return done();
    void reply.headers({ etag: known.etag, 'cache-control': 'no-cache' });
    if (request.headers['if-none-match'] === known.etag) void reply.code(304).send();
    else void reply.type('application/json; charset=utf-8').send(known.body);
  });
  app.addHook('onSend', (request, reply, payload, done) => {
    const url = request.routeOptions.url ?? '';
    if (request.method === 'GET' && reply.statusCode === 200 && urls.includes(url) && typeof payload === 'string' && !written.has(url)) {
      const etag = `"${hash('sha256', payload, 'base64url').slice(0, 22)}"`;
      written.set(url, { body: Buffer.from(payload), etag }); // its newline is there already
      void reply.headers({ etag, 'cache-control': 'no-cache' });
    }
    if (url.startsWith('/docs/static/')) void reply.header('cache-control', 'public, max-age=3600');
    done(null, payload);
  });
}

/** Swagger UI at `/docs`, in production too, and the document at `/openapi.json`. Everything is served from here: no CDN. */
export async function installDocs(app: FastifyInstance) {
  // A browser is led to what a person can use; everybody else is told where things are.
  app.get('/', { config: { access: 'public' }, schema: { hide: true } }, (request, reply) => {
    if (request.headers.accept?.includes('text/html')) return reply.redirect('/docs', 302);
    return { name: 'rollcall', version, docs: '/docs', openapi: '/openapi.json', api: '/sd/v1' };
  });
  await app.register(async (pages) => {
    writeOnce(pages, ['/openapi.json', '/docs/json']);
    pages.get('/openapi.json', { config: { access: 'public' }, schema: { hide: true } }, () => app.swagger());
    // Helmet is for documents that a browser renders; API answers get their few headers in app.ts. HSTS and
    // upgrade-insecure-requests are the balancer's to say: here they would break a gateway served over plain HTTP.
    await pages.register(helmet, { contentSecurityPolicy: false, hsts: false, crossOriginOpenerPolicy: false, originAgentCluster: false });
    pages.addHook('onRoute', (route) => {
      route.config = { ...route.config, access: 'public' };
      route.schema = { ...route.schema, hide: true };
    });
    await pages.register(swaggerUi, {
      routePrefix: '/docs',
      staticCSP: POLICY,
      transformSpecification: (document) => withOneBox(document as Secured), // given a copy
      uiConfig: { layout: 'BaseLayout', deepLinking: true, persistAuthorization: true, displayRequestDuration: true, tryItOutEnabled: true },
    });
  });
}
