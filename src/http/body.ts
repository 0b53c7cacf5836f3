import { isUtf8 } from 'node:buffer';
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
  app.addContentTypeParser(JSON_TYPES, { parseAs: 'buffer' }, (request, body: Buffer, done) => {
    if (body.length === 0) done(null, undefined);
    else if (!isUtf8(body)) done(new RegistryError('invalid_request', 'the body is not UTF-8 (RFC 8259 section 8.1)'));
    else void parse(request, body.toString(), (error, value) => done(error && notJson(body.toString(), error), value));
  });
  app.addHook('onRequest', (request, _reply, done) => {
    const encoding = request.headers['content-encoding'];
    if (encoding === undefined || encoding === 'identity') done();
    else done(new RegistryError('unsupported_media_type', `Content-Encoding ${encoding.slice(0, 32)} is not supported: send the body as it is`));
  });
  // `curl -d ''` sends an empty form, and an empty chunked body has no type at all: both are no body.
  app.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body: Buffer, done) => {
    if (body.length === 0) done(null, undefined);
    else done(new RegistryError('unsupported_media_type', 'send Content-Type: application/json'));
  });
}

/** Where the parser stopped. Only the number: its message would repeat the body. */
function notJson(body: string, error: Error): Error {
  try {
    JSON.parse(body);
    return error; // JSON, but with a key that poisons prototypes
  } catch (failure) {
    const [, position] = /position (\d+)/.exec((failure as Error).message) ?? [];
    const where = position === undefined ? 'it ends too early' : `see position ${position}`;
    return new RegistryError('invalid_request', `the body is not JSON: ${where}`);
  }
}
