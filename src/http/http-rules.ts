import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import type { FastifyInstance } from 'fastify';
import { RegistryError } from '../registry/errors.js';
import { problemOf, PROBLEM_TYPE } from './problems.js';

function countHosts({ rawHeaders }: IncomingMessage): number {
  let hosts = 0;
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i] as string;
    if (name.length === 4 && name.toLowerCase() === 'host') hosts++;
  }
  return hosts;
}

/** What HTTP itself asks for and Node would answer without a problem document, or not at all. */
export function installHttpRules(app: FastifyInstance) {
  app.addHook('onRequest', ({ raw }, _reply, done) => {
    const hosts = countHosts(raw);
    if (hosts > 1 || (hosts === 0 && raw.httpVersion === '1.1')) {
      return done(new RegistryError('invalid_request', 'HTTP/1.1 needs exactly one Host header (RFC 9112 section 3.2)'));
    }
    done();
  });

  // Without a listener Node closes the connection and says nothing.
  app.server.on('connect', (_request: IncomingMessage, socket: Duplex) => {
    socket.on('error', () => undefined); // who is gone needs no answer
    const body = JSON.stringify(problemOf({ code: 'method_not_allowed', detail: 'CONNECT: this is no proxy' }, 'unparsed'));
    const headers = `Allow: GET, HEAD, POST, PATCH, DELETE\r\nContent-Type: ${PROBLEM_TYPE}\r\nContent-Length: ${Buffer.byteLength(body)}\r\nConnection: close`;
    socket.end(`HTTP/1.1 405 Method Not Allowed\r\n${headers}\r\n\r\n${body}`);
  });

  app.server.on('checkExpectation', (_request: IncomingMessage, response: ServerResponse) => {
    const body = JSON.stringify(problemOf({ code: 'invalid_request', status: 417, detail: 'Expect: only 100-continue is understood' }, 'unparsed'));
    response.writeHead(417, { 'content-type': PROBLEM_TYPE, 'content-length': Buffer.byteLength(body), connection: 'close' }).end(body);
  });
}
