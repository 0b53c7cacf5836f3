import { isUtf8 } from 'node:buffer';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { shown } from '../../contract/index.js';
import { invalidField, RegistryError } from '../../registry/errors.js';
import { BodyReader } from './body-reader.js';
import { holdsMoreThan, keyGivenTwice } from './json.js';
import { TurnShare } from '../replies/turn-share.js';

/** Values in one body: so many take 10 to 40 ms to read. A thousand beats with 30 each are as many. */
const MOST_VALUES = 30_000;
const NOTHING = Buffer.alloc(0);
/** Bodies from this size on are read one a turn of the event loop: many that came together would be one long turn. */
const LARGE_BYTES = 16 * 1024;
type Done = (error: Error | null, body?: unknown) => void;
const JSON_TYPES = ['application/json', 'application/merge-patch+json'];

/** JSON is UTF-8 (RFC 8259 section 8.1): another `charset` would be read wrong. */
function isUtf8Type(contentType = ''): boolean {
  if (contentType === 'application/json') return true; // nearly all of them
  return contentType.split(';').every((part) => {
    const [name = '', value = ''] = part.toLowerCase().split('=');
    return name.trim() !== 'charset' || ['utf-8', 'utf8', '"utf-8"', '"utf8"'].includes(value.trim());
  });
}

/**
 * JSON only, and an empty body is no body: whether one is needed is the schema's to say. `__proto__` and
 * `constructor.prototype` anywhere in a body are refused by Fastify's own parser.
 */
export function installBodyParsing(app: FastifyInstance) {
  app.removeAllContentTypeParsers();
  const reader = new BodyReader();
  const large = new TurnShare(1);
  const parse = app.getDefaultJsonParser('error', 'error');
  const read = (request: FastifyRequest, done: Done, use: (body: Buffer, done: Done) => void) => {
    // Checking a large body and passing it on takes as long as reading it.
    const later: Done = (error, value) => (error ? done(error) : large.runNext(1, () => done(null, value)));
    reader.read(request.raw, request.routeOptions.bodyLimit, (error, body = NOTHING) => {
      if (error || body.length === 0) done(error, undefined);
      else if (body.length < LARGE_BYTES) use(body, done);
      else large.run(1, () => use(body, later));
    });
  };
  app.addContentTypeParser(JSON_TYPES, (request, _payload, given) => {
    if (!isUtf8Type(request.headers['content-type'])) return given(new RegistryError('unsupported_media_type', 'JSON is UTF-8 (RFC 8259 section 8.1): send charset=utf-8, or none'));
    read(request, given, (body, done) => {
      if (!isUtf8(body)) return done(new RegistryError('invalid_request', 'the body is not UTF-8 (RFC 8259 section 8.1)'));
      if (holdsMoreThan(MOST_VALUES, body)) return done(invalidField('', `holds more than ${MOST_VALUES} values: send fewer in one call`));
      const text = body.toString();
      void parse(request, text, (error, value) => {
        if (error) return done(notJson(text, error));
        const twice = keyGivenTwice(text, value);
        if (twice === undefined) done(null, value);
        else done(invalidField(shown(twice), 'is given twice (RFC 8259 section 4)'));
      });
    });
  });
  app.addHook('onRequest', (request, _reply, done) => {
    const encoding = request.headers['content-encoding'];
    if (encoding === undefined || encoding === 'identity') done();
    else done(new RegistryError('unsupported_media_type', `Content-Encoding ${encoding.slice(0, 32)} is not supported: send the body as it is`));
  });
  // `curl -d ''` sends an empty form, and an empty chunked body has no type at all: both are no body.
  app.addContentTypeParser('*', (request, _payload, done) => {
    read(request, done, () => done(new RegistryError('unsupported_media_type', 'send Content-Type: application/json')));
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
