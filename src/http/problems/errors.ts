import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Logger } from 'pino';
import { fieldErrors, inWords, shown, type ProblemCode } from '../../contract/index.js';
import { RegistryError } from '../../registry/errors.js';
import { problemOf, PROBLEM_TYPE, shownDetail, statusOf, type Refusal } from './problems.js';

const RETRY_AFTER_SECONDS = 1;

/** An answer ends the connection when the rest of a chunked body would have to be read only to be dropped. */
const isCutShort = (request: IncomingMessage) => !request.complete && request.headers['transfer-encoding'] !== undefined;

export function sendProblem(reply: FastifyReply, refusal: Refusal) {
  const problem = problemOf(refusal, reply.request.id);
  // As app.ts sets them, whose hook does not run for a URL that does not decode.
  void reply.headers({ 'x-request-id': problem.requestId, 'x-content-type-options': 'nosniff', 'cache-control': 'no-store' });
  if (isCutShort(reply.request.raw)) void reply.header('connection', 'close');
  if (problem.status === 401) void reply.header('www-authenticate', 'Bearer realm="rollcall"');
  if (problem.status === 503 || problem.status === 429) void reply.header('retry-after', RETRY_AFTER_SECONDS);
  return reply.code(problem.status).type(PROBLEM_TYPE).send(problem);
}

export function installErrorHandling(app: FastifyInstance, log: Logger) {
  const mayLog = onceASecond();
  app.setErrorHandler((error: FastifyError | RegistryError, request, reply) => {
    const refusal = refusalOf(error, request);
    logRefusal(error, refusal, request, log, mayLog);
    return sendProblem(reply, refusal);
  });
}

/** What Fastify refuses before a route is chosen: a URL that does not decode. */
export function onFrameworkError(error: FastifyError, request: FastifyRequest, reply: FastifyReply) {
  return sendProblem(reply, refusalOf(error, request));
}

const PARSER_REFUSALS: Record<string, { status: number; line: string; code: ProblemCode; detail: string }> = {
  HPE_HEADER_OVERFLOW: { status: 431, line: 'Request Header Fields Too Large', code: 'payload_too_large', detail: 'the headers or the URL are too long' },
  ERR_HTTP_REQUEST_TIMEOUT: { status: 408, line: 'Request Timeout', code: 'invalid_request', detail: 'the request did not arrive in time' },
};
const MALFORMED = { status: 400, line: 'Bad Request', code: 'invalid_request' as const, detail: 'not a well-formed HTTP request' };

/** What Node's parser refuses, before there is a request at all. */
export function onClientError(error: NodeJS.ErrnoException, socket: Socket) {
  if (error.code === 'HPE_PAUSED') return; // our own doing (incoming.ts): the refusal is under way, and ends the connection
  if (error.code === 'ECONNRESET' || !socket.writable) return socket.destroy();
  const { line, ...refusal } = PARSER_REFUSALS[error.code ?? ''] ?? MALFORMED;
  const body = `${JSON.stringify(problemOf(refusal, 'unparsed'))}\n`;
  const headers = `Content-Type: ${PROBLEM_TYPE}\r\nContent-Length: ${Buffer.byteLength(body)}\r\nConnection: close`;
  return socket.end(`HTTP/1.1 ${refusal.status} ${line}\r\n${headers}\r\n\r\n${body}`);
}

const FRAMEWORK_REFUSALS: Record<string, Refusal> = {
  FST_ERR_CTP_INVALID_MEDIA_TYPE: { code: 'unsupported_media_type', detail: 'send Content-Type: application/json' },
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: { code: 'invalid_request', detail: 'the body is not as long as Content-Length says' },
  FST_ERR_CTP_INVALID_JSON_BODY: { code: 'invalid_request', detail: 'the body is not JSON' },
  FST_ERR_BAD_URL: { code: 'invalid_request', detail: 'the URL does not decode' },
  FST_ERR_MAX_PARAM_LENGTH: { code: 'invalid_request', status: 414, detail: 'the URL is too long' },
};

/** Any error as an answer. What is not known to be the caller's doing is `internal`, and says nothing of the inside. */
function refusalOf(error: FastifyError | RegistryError, request: FastifyRequest): Refusal {
  if (error instanceof RegistryError) {
    const { errors, instanceId, incarnation } = error.details;
    return { code: error.code, detail: error.message, ...(errors && { errors }), ...(instanceId !== undefined && { instanceId }), ...(incarnation !== undefined && { incarnation }) };
  }
  if (error.validation && error.validationContext === 'body' && request.body === undefined) {
    return { code: 'invalid_request', detail: 'this needs a body: send JSON', errors: [{ pointer: '', detail: 'is missing: send JSON' }] };
  }
  if (error.validation) {
    const errors = fieldErrors(error.validation, error.validationContext);
    return { code: 'invalid_request', detail: inWords(errors), errors };
  }
  if (error.code === 'FST_ERR_CTP_BODY_TOO_LARGE') {
    return { code: 'payload_too_large', detail: `the body is larger than the ${request.routeOptions.bodyLimit} bytes that this route takes` };
  }
  const known = FRAMEWORK_REFUSALS[error.code];
  if (known) return known;
  if (error.statusCode !== undefined && error.statusCode >= 400 && error.statusCode < 500) {
    return { code: 'invalid_request', status: error.statusCode, detail: error.message };
  }
  return { code: 'internal', detail: 'an unexpected error; the log has it under this requestId' };
}

const LOG_EVERY_MS = 1000;
/** Somebody has the wrong token, another's id, or too much to ask: from where is the question at 3 a.m., of reads too. */
const BY_WHOM = new Set([401, 403, 409, 429]);
type MayLog = (code: ProblemCode) => { leftOut?: number } | undefined;

/** At most one line a second for each code, with the count of those left out: an outage must not flood the log. */
function onceASecond(): MayLog {
  const logged = new Map<ProblemCode, { at: number; leftOut: number }>();
  return (code) => {
    const now = performance.now();
    const last = logged.get(code);
    if (last && now - last.at < LOG_EVERY_MS) {
      last.leftOut++;
      return undefined;
    }
    logged.set(code, { at: now, leftOut: 0 });
    return last?.leftOut ? { leftOut: last.leftOut } : {};
  };
}

function logRefusal(error: Error, { code, detail, status = statusOf(code) }: Refusal, request: FastifyRequest, log: Logger, mayLog: MayLog) {
  const { id } = (request.params ?? {}) as { id?: string };
  const instanceId = id && shown(id); // before the schema has seen it, as long as a URL
  const about = { requestId: request.id, code, status, route: request.routeOptions.url, caller: request.token?.name, instanceId };
  if (code === 'internal') return log.error({ ...about, err: error }, 'request failed');
  const read = request.method === 'GET' || request.method === 'HEAD';
  if (read && status < 500 && !BY_WHOM.has(status)) return log.debug(about, 'read refused');
  const more = mayLog(code);
  if (!more) return;
  const line = { ...about, ip: request.ip, ...more };
  if (status >= 500) log.warn({ ...line, err: error.cause as Error | undefined }, 'request refused');
  else log.info({ ...line, detail: shownDetail(detail) }, read ? 'read refused' : 'write refused');
}
