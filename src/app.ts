import cors from '@fastify/cors';
import fastify, { LogController, type FastifyBaseLogger, type FastifyInstance } from 'fastify';
import type { Logger } from 'pino';
import { installAdmission, type Admission } from './http/requests/admission.js';
import { installAuth } from './http/auth/auth.js';
import { installBodyParsing } from './http/requests/body.js';
import { discoverRoutes } from './http/routes/discover.js';
import { installDocs } from './http/openapi/docs.js';
import { installErrorHandling, onClientError, onFrameworkError } from './http/problems/errors.js';
import { installHttpRules } from './http/problems/protocol-errors.js';
import { BoundedMessage } from './http/requests/incoming.js';
import { healthRoutes } from './http/routes/health.js';
import { heartbeatRoutes } from './http/routes/heartbeats.js';
import { lockRoutes } from './http/routes/locks.js';
import { historyRoutes } from './http/routes/events.js';
import { instanceRoutes } from './http/routes/instances.js';
import { countHeartbeats, countRequest, installMetrics, type Metrics } from './http/metrics/metrics.js';
import { installNotFound } from './http/problems/not-found.js';
import { createForwardedWarning } from './http/requests/observed-ip.js';
import { installOpenapi } from './http/openapi/openapi.js';
import { operationRoutes } from './http/routes/groups.js';
import { createRequestIds, installRequestLog } from './http/requests/request-log.js';
import { installShedding, Pressure } from './http/requests/pressure.js';
import { sharedSchemas } from './http/schemas.js';
import { sessionRoutes } from './http/routes/session.js';
import type { TokenStore } from './http/auth/tokens.js';
import { Unread } from './http/replies/unread.js';
import { installValidation } from './http/requests/validation.js';
import { watchRoutes } from './http/routes/watch.js';
import type { Locks } from './registry/locks.js';
import type { Prober } from './registry/prober.js';
import type { LeaseLimits } from './registry/registration.js';
import type { ServedRegistry } from './registry/served/served-registry.js';
import type { View } from './registry/view/view.js';
import type { SessionSecret } from './http/auth/sessions.js';

const BODY_LIMIT = 64 * 1024;
const MAX_HEADER_BYTES = 8192; // the request line and all headers together
const REQUEST_TIMEOUT_MS = 10_000;
const HEADERS_TIMEOUT_MS = 5000;

const HTTP_OPTIONS = {
  maxHeaderSize: MAX_HEADER_BYTES,
  headersTimeout: HEADERS_TIMEOUT_MS,
  connectionsCheckingInterval: 1000,
  requireHostHeader: false, // a hook refuses a request without one, with a problem
  IncomingMessage: BoundedMessage,
};

export interface AppOptions {
  registry: ServedRegistry;
  locks: Locks & { end: () => void };
  /** The registry's memory: whether it can answer, and whom to tell when the application closes. */
  view: View;
  tokens: TokenStore;
  sessionSecret: SessionSecret;
  prober: Prober;
  metrics: Metrics;
  lease: LeaseLimits;
  heartbeatIntervalMs: number;
  log: Logger;
  draining: () => boolean;
  /** How late the event loop is, in ms; never, if it is left out. */
  lagMs?: () => number;
  storeReachable: () => boolean;
  waitsFor?: () => string | undefined;
  trustProxy?: string[];
  corsOrigins?: string[];
  rateLimitPerSecond?: number;
  metricsPublic?: boolean;
}

const corsOptions = (origin: string[]) => ({
  origin,
  methods: ['GET', 'HEAD', 'POST', 'PATCH', 'DELETE'],
  allowedHeaders: ['X-API-Token', 'Authorization', 'Content-Type', 'X-Request-Id', 'If-None-Match', 'Prefer', 'Last-Event-ID'],
  exposedHeaders: ['ETag', 'X-Revision', 'X-Stale-Seconds', 'X-Recovering', 'Preference-Applied', 'X-Request-Id', 'X-Health-Unchecked', 'Location', 'Retry-After'],
});

const pressureOn = ({ view, metrics, lagMs = () => 0 }: AppOptions, admission: Admission) =>
  new Pressure({ lagMs: () => Math.max(lagMs(), admission.lateMs), settling: () => view.freshness.settling, shed: (work) => metrics.shed.labels(work).inc() });

/** Fastify's own lines of less than a warning say what ours say: each address that it listens on, beside `started`. */
const warningsOf = (log: Logger): FastifyBaseLogger => log.child({}, { level: log.isLevelEnabled('warn') ? 'warn' : log.level });

/** The gateway as an application, without a process around it: tests build this. The order of registration is the order of hooks. */
export async function buildApp(options: AppOptions): Promise<FastifyInstance> {
  const { registry, view, tokens, metrics, draining } = options;
  const app: FastifyInstance = fastify({
    loggerInstance: warningsOf(options.log),
    childLoggerFactory: (logger) => logger, // a child per request costs more than the rest of a heartbeat; our lines carry requestId
    logController: new LogController({ disableRequestLogging: true }), // our own lines: http/requests/request-log.ts
    genReqId: createRequestIds(),
    trustProxy: options.trustProxy?.length ? options.trustProxy : false,
    bodyLimit: BODY_LIMIT,
    requestTimeout: REQUEST_TIMEOUT_MS,
    http: HTTP_OPTIONS,
    routerOptions: { maxParamLength: MAX_HEADER_BYTES }, // longer than any name: the schema says what is wrong with it
    return503OnClosing: false, // late requests on open sockets are still answered, with `connection: close`
    frameworkErrors: (error, request, reply) => void onFrameworkError(error, request, reply),
    clientErrorHandler: onClientError,
  });

  const pressure = pressureOn(options, installAdmission(app.server));
  for (const schema of sharedSchemas) app.addSchema(schema);
  installValidation(app);
  // Answers are plain data of our own types. A compiled serializer writes one 0.15 us sooner, and compiling those of all routes and
  // statuses took most of the time in which an application is built.
  app.setSerializerCompiler(() => JSON.stringify);
  installErrorHandling(app, options.log);
  installRequestLog(app, options.log, (request, status, ms) => countRequest(metrics, request, status, ms));
  app.addHook('onRequest', (request, reply, done) => {
    reply.header('x-request-id', request.id).header('x-content-type-options', 'nosniff').header('cache-control', 'no-store');
    if (draining()) reply.header('connection', 'close');
    done();
  });
  installHttpRules(app);
  if (options.corsOrigins?.length) await app.register(cors, corsOptions(options.corsOrigins));
  installNotFound(app);
  installShedding(app, pressure);
  await installAuth(app, { tokens, sessionSecret: options.sessionSecret, registry, rateLimitPerSecond: options.rateLimitPerSecond });
  installBodyParsing(app);
  await installOpenapi(app);
  installMetrics(app, metrics, view, options.metricsPublic ?? false);

  await registerRoutes(app, options, pressure);
  await installDocs(app);
  app.addHook('preClose', (done) => {
    view.end(); // streams and long polls would keep the application open
    options.locks.end();
    done();
  });
  return app;
}

async function registerRoutes(app: FastifyInstance, options: AppOptions, pressure: Pressure) {
  const { view, metrics, lease, heartbeatIntervalMs, draining, prober } = options;
  const unread = new Unread();
  await app.register(discoverRoutes, { prefix: '/sd/v1', prober, unread });
  await app.register(instanceRoutes, { prefix: '/sd/v1', lease, heartbeatIntervalMs, pressure, warnOfForwarded: createForwardedWarning(options.trustProxy ?? [], options.log) });
  await app.register(heartbeatRoutes, { prefix: '/sd/v1', heartbeatIntervalMs, pressure, observe: countHeartbeats(metrics) });
  await app.register(watchRoutes, { prefix: '/sd/v1' });
  await app.register(historyRoutes, { prefix: '/sd/v1', unread, slices: view.slices });
  await app.register(operationRoutes, { prefix: '/sd/v1', unread, slices: view.slices });
  await app.register(lockRoutes, { prefix: '/sd/v1', locks: options.locks });
  await app.register(sessionRoutes, { prefix: '/sd/v1', sessionSecret: options.sessionSecret });
  await app.register(healthRoutes, { draining, view, storeReachable: options.storeReachable, ...(options.waitsFor && { waitsFor: options.waitsFor }) });
}
