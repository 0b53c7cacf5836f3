import { randomBytes } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { Logger } from 'pino';

declare module 'fastify' {
  interface FastifyRequest {
    /** It takes long because the caller asked for that: a watch, or a long poll. It is neither slow nor in the latencies. */
    lasting: boolean;
  }
}

const SLOW_MS = 250;
const SLOW_LINE_MS = 1000;
const ACCEPTED = /^[A-Za-z0-9._-]{1,64}$/;

/** The caller's `X-Request-Id` if it is fit for a log, else a counter behind a prefix that is this process's own. */
export function createRequestIds() {
  const prefix = randomBytes(4).toString('hex');
  let count = 0;
  return (request: IncomingMessage | { headers: IncomingMessage['headers'] }) => {
    const given = request.headers['x-request-id'];
    return typeof given === 'string' && ACCEPTED.test(given) ? given : `${prefix}-${(++count).toString(36)}`;
  };
}

/**
 * Every request is given to `observe` when it is answered, but for those that last because the caller asked for that. One line for
 * a slow one at info, for any other at debug: a line each at info would cost 43 % of throughput.
 */
export function installRequestLog(app: FastifyInstance, log: Logger, observe: (request: FastifyRequest, status: number, ms: number) => void) {
  const tellSlow = slowLines(log);
  app.decorateRequest('lasting', false);
  app.addHook('onResponse', (request, reply, done) => {
    const ms = reply.elapsedTime;
    if (!request.lasting) observe(request, reply.statusCode, ms);
    const slow = ms > SLOW_MS && !request.lasting;
    if (slow || log.isLevelEnabled('debug')) {
      const { id: requestId, method, routeOptions, token } = request;
      const line = { requestId, method, route: routeOptions.url, status: reply.statusCode, ms: Math.round(ms), caller: token?.name };
      if (!slow) log.debug(line, 'request');
      else tellSlow(line);
    }
    done();
  });
}

/** At most one line a second, with how many were left out: while Redis is away every write is slow. */
function slowLines(log: Logger) {
  let [toldAt, leftOut] = [-Infinity, 0];
  return (line: object) => {
    const now = performance.now();
    if (now - toldAt < SLOW_LINE_MS) return void leftOut++;
    log.info({ ...line, ...(leftOut > 0 && { leftOut }) }, 'slow request');
    toldAt = now;
    leftOut = 0;
  };
}
