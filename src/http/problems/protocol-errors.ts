import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import type { FastifyInstance } from 'fastify';
import { RegistryError } from '../../registry/errors.js';
import { problemOf, PROBLEM_TYPE } from './problems.js';

function countHosts({ rawHeaders }: IncomingMessage): number {
  let hosts = 0;
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i] as string;
    if (name.length === 4 && name.toLowerCase() === 'host') hosts++;
  }
  return hosts;
}

/** What HTTP itself asks for and Node would answer without a problem document, or not at all; and how every answer ends. */
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
    const body = `${JSON.stringify(problemOf({ code: 'method_not_allowed', detail: 'CONNECT: this is no proxy' }, 'unparsed'))}\n`;
    const headers = `Allow: GET, HEAD, POST, PATCH, DELETE\r\nContent-Type: ${PROBLEM_TYPE}\r\nContent-Length: ${Buffer.byteLength(body)}\r\nConnection: close`;
    socket.end(`HTTP/1.1 405 Method Not Allowed\r\n${headers}\r\n\r\n${body}`);
  });

  // JSON ends with a newline, or the next prompt stands behind it in a terminal. What a route makes as bytes (discovery, the log) ends so
  // by itself: it is not copied here.
  app.addHook('onSend', (_request, reply, payload, done) => {
    const isJson = typeof payload === 'string' && /json/.test(String(reply.getHeader('content-type')));
    done(null, isJson ? `${payload}\n` : payload);
  });

  app.server.on('checkExpectation', (_request: IncomingMessage, response: ServerResponse) => {
    const body = `${JSON.stringify(problemOf({ code: 'invalid_request', status: 417, detail: 'Expect: only 100-continue is understood' }, 'unparsed'))}\n`;
    response.writeHead(417, { 'content-type': PROBLEM_TYPE, 'content-length': Buffer.byteLength(body), connection: 'close' }).end(body);
  });
}
