import type { FastifyPluginCallbackTypebox } from '@fastify/type-provider-typebox';
import type { FastifyRequest } from 'fastify';
import { FreshnessQuery, Instance, InstanceParams, InstancePatch, NAME_PATTERN, patternRules, RegisterReply, Registration, RemoveQuery, STATUSES } from '../../contract/index.js';
import { RegistryError } from '../../registry/errors.js';
import { heartbeatIntervalMs } from '../../registry/lease.js';
import { completeRegistration, type LeaseLimits } from '../../registry/registration.js';
import { notFound } from '../../registry/refusals.js';
import { callerOf } from '../auth/auth.js';
import { freshnessOf } from './discovery-query.js';
import { observedIp } from '../requests/observed-ip.js';
import type { Pressure } from '../requests/pressure.js';
import { bodyProblems, commonProblems, jsonReply, noContent, noQuery, notFoundProblem, ref, revisionHeader, uncertainHeaders, staleProblem } from '../schemas.js';
import { sayUncertain } from '../replies/staleness.js';

export interface InstanceRouteOptions {
  lease: LeaseLimits;
  heartbeatIntervalMs: number;
  pressure: Pressure;
  warnOfForwarded: (request: FastifyRequest, namesAddress: boolean) => void;
}

const registerRoute = {
  config: { access: 'write' },
  schema: {
    operationId: 'registerInstance',
    summary: 'Register an instance',
    description: 'Upserts by id. Repeat `instanceId` and `incarnation` in retries: that is one registration.',
    tags: ['instances'],
    querystring: noQuery,
    body: ref(Registration),
    response: {
      201: jsonReply(RegisterReply, 'Registered', { Location: { type: 'string', description: 'The instance' } }),
      200: jsonReply(RegisterReply, 'Repeated, or replaced another incarnation'),
      ...commonProblems('/hostname', 'is required'),
      ...bodyProblems,
    },
  },
} as const;

const getRoute = {
  config: { access: 'read' },
  schema: {
    operationId: 'getInstance',
    summary: 'Look at one instance',
    tags: ['instances'],
    params: InstanceParams,
    querystring: FreshnessQuery,
    response: { 200: jsonReply(Instance, 'The instance', { ...revisionHeader, ...uncertainHeaders }), ...commonProblems('?consistency', 'must be one of strong'), ...notFoundProblem },
  },
} as const;

const patchRoute = {
  config: { access: 'write' },
  schema: {
    operationId: 'patchInstance',
    summary: 'Change status, customState, labels or cordoned',
    description: 'Labels merge by key, `null` removes; `customState: null` clears. Never renews the lease. `cordoned` needs the verb `admin`.',
    tags: ['instances'],
    params: InstanceParams,
    querystring: noQuery,
    body: ref(InstancePatch),
    response: { 200: jsonReply(Instance, 'The instance as it is now', revisionHeader), ...commonProblems('/status', `must be one of ${STATUSES.join(', ')}`), ...bodyProblems, ...notFoundProblem },
  },
} as const;

const removeRoute = {
  config: { access: 'write' },
  schema: {
    operationId: 'removeInstance',
    summary: 'Remove an instance',
    description: 'Send the `incarnation`: without it this removes whoever holds the id now. Type and group, if given, must be its own.',
    tags: ['instances'],
    params: InstanceParams,
    querystring: RemoveQuery,
    response: { 204: noContent('Removed', revisionHeader), ...commonProblems('?incarnation', patternRules[NAME_PATTERN] ?? ''), ...notFoundProblem, ...staleProblem },
  },
} as const;

/** `/sd/v1/instances`: register, look at, change, remove. */
export const instanceRoutes: FastifyPluginCallbackTypebox<InstanceRouteOptions> = (app, options, done) => {
  app.post('/instances', registerRoute, async (request, reply) => {
    const { publicIp, privateIp } = request.body;
    options.warnOfForwarded(request, (publicIp ?? privateIp) !== undefined);
    const ip = observedIp(request);
    const registration = completeRegistration(request.body, options.lease, ip);
    const { instanceId, incarnation, ttlSeconds } = registration;
    const { outcome, revision } = await options.pressure.during(request.registry.register(registration, callerOf(request))).catch(naming({ instanceId, incarnation }));
    reply.code(outcome === 'created' ? 201 : 200).header('location', `/sd/v1/instances/${instanceId}`);
    const intervalMs = heartbeatIntervalMs(ttlSeconds * 1000, options.heartbeatIntervalMs);
    return { instanceId, incarnation, ttlSeconds, heartbeatIntervalMs: intervalMs, revision, observedIp: ip ?? '' };
  });

  app.get('/instances/:id', getRoute, async (request, reply) => {
    const { found, ...certainty } = await request.registry.find(request.params.id, freshnessOf(request.query));
    sayUncertain(reply, certainty); // of a 404 too
    if (!found) throw notFound(request.params.id);
    reply.header('x-revision', found.revision);
    return found.instance;
  });

  app.patch('/instances/:id', patchRoute, async (request, reply) => {
    const { params, body, token } = request;
    if (body.cordoned !== undefined && !token?.verbs.has('admin')) throw new RegistryError('forbidden', 'cordoned is for tokens that may admin');
    const { instance, revision } = await request.registry.patch(params.id, body, callerOf(request));
    reply.header('x-revision', revision);
    return instance;
  });

  app.delete('/instances/:id', removeRoute, async (request, reply) => {
    const revision = await request.registry.remove(request.params.id, request.query, callerOf(request));
    return reply.code(204).header('x-revision', revision).send(null);
  });
  done();
};

/** A registration whose outcome is unknown may have happened: the caller must retry it with the same identity. */
const naming = (identity: { instanceId: string; incarnation: string }) => (error: unknown): never => {
  if (!(error instanceof RegistryError) || error.code !== 'store_unavailable') throw error;
  throw new RegistryError(error.code, `${error.message}, with the instanceId and incarnation given here`, { ...identity, cause: error.cause });
};
