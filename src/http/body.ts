import type { FastifyInstance } from 'fastify';
import { RegistryError } from '../registry/errors.js';

const JSON_TYPES = ['application/json', 'application/merge-patch+json'];

/**
 * JSON only, and an empty body is no body: whether one is needed is the schema's to say. `__proto__` and
 * `constructor.prototype` anywhere in a body are refused by Fastify's own parser.
 */
export function installBodyParsing(app: FastifyInstance) {
  app.removeAllContentTypeParsers();
  const parse = app.getDefaultJsonParser('error', 'error');
  app.addContentTypeParser(JSON_TYPES, { parseAs: 'string' }, (request, body: string, done) => {
    if (body === '') done(null, undefined);
    else void parse(request, body, done);
  });
  app.addHook('onRequest', (request, _reply, done) => {
    const encoding = request.headers['content-encoding'];
    if (encoding === undefined || encoding === 'identity') done();
    else done(new RegistryError('unsupported_media_type', `Content-Encoding ${encoding.slice(0, 32)} is not supported: send the body as it is`));
  });
}
