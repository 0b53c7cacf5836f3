import type { FastifyPluginCallbackTypebox } from '@fastify/type-provider-typebox';
import type { FastifyRequest } from 'fastify';
import { LockParams, LockRenewal, LockReply, LockRequest, LockState, UnlockQuery } from '../../contract/index.js';
import { RegistryError } from '../../registry/errors.js';
import { mintId } from '../../registry/ids.js';
import type { Locks } from '../../registry/locks.js';
import { allows } from '../../registry/scope.js';
import { goneSignal } from '../requests/gone.js';
import { Quota } from '../requests/quota.js';
import { bodyProblems, commonProblems, jsonReply, noContent, noQuery, problem, ref } from '../schemas.js';

export interface LockRouteOptions {
  locks: Locks;
}

const lostProblem = { 404: problem('lock_lost', 'this lease does not hold the lock: it ended, or was given back') };

const acquireRoute = {
  config: { access: 'write' },
  schema: {
    operationId: 'acquireLock',
    summary: 'Take a lock, or wait for it',
    description: 'Repeat `lease` in retries: that is one attempt. Who waits is served in the order of arrival. What a lock protects must check its `fencingToken`: no lock on Redis is certain without.',
    tags: ['locks'],
    params: LockParams,
    querystring: noQuery,
    body: ref(LockRequest),
    response: { 201: jsonReply(LockReply, 'Held'), ...commonProblems('/ttlSeconds', 'must be >= 1'), ...bodyProblems, 409: problem('lock_held', 'somebody else holds it: who, and until when') },
  },
} as const;

const renewRoute = {
  config: { access: 'write', bucket: 'heartbeat' },
  schema: {
    operationId: 'renewLock',
    summary: 'Hold a lock for longer',
    tags: ['locks'],
    params: LockParams,
    querystring: noQuery,
    body: ref(LockRenewal),
    response: { 200: jsonReply(LockReply, 'Held until then'), ...commonProblems('/lease', 'is required'), ...bodyProblems, ...lostProblem },
  },
} as const;

const releaseRoute = {
  config: { access: 'write' },
  schema: {
    operationId: 'releaseLock',
    summary: 'Give a lock back',
    tags: ['locks'],
    params: LockParams,
    querystring: UnlockQuery,
    response: { 204: noContent('Given back'), ...commonProblems('?lease', 'is required'), ...lostProblem },
  },
} as const;

const lookRoute = {
  config: { access: 'read' },
  schema: {
    operationId: 'lookAtLock',
    summary: 'Who holds a lock',
    tags: ['locks'],
    params: LockParams,
    querystring: noQuery,
    response: { 200: jsonReply(LockState, 'Who, until when, and how many wait'), ...commonProblems('?lease', 'is not a known parameter') },
  },
} as const;

/** A token that is limited to types or groups may have no lock that it does not name. */
function insistOn(name: string, { token }: FastifyRequest) {
  const patterns = token?.locks ?? (token?.scope ? [] : undefined);
  if (!allows(patterns, name)) throw new RegistryError('forbidden', `this token is not for the lock '${name}'`);
}

/** `/sd/v1/locks/{name}` */
export const lockRoutes: FastifyPluginCallbackTypebox<LockRouteOptions> = (app, { locks }, done) => {
  const quota = new Quota();

  app.post('/locks/:name', acquireRoute, async (request, reply) => {
    const { owner, ttlSeconds, lease = mintId(), waitMs = 0 } = request.body;
    insistOn(request.params.name, request);
    const attempt = { owner, ttlMs: ttlSeconds * 1000, lease, waitMs };
    reply.code(201);
    if (waitMs === 0) return locks.acquire(request.params.name, attempt);
    const leave = quota.enter(['lock'], request.token?.name ?? '');
    request.lasting = true;
    return locks.acquire(request.params.name, { ...attempt, signal: goneSignal(reply) }).finally(leave);
  });

  app.post('/locks/:name/renew', renewRoute, (request) => {
    insistOn(request.params.name, request);
    return locks.renew(request.params.name, request.body.lease, request.body.ttlSeconds * 1000);
  });

  app.delete('/locks/:name', releaseRoute, async (request, reply) => {
    insistOn(request.params.name, request);
    await locks.release(request.params.name, request.query.lease);
    return reply.code(204).send(null);
  });

  app.get('/locks/:name', lookRoute, (request) => {
    insistOn(request.params.name, request);
    return locks.look(request.params.name);
  });
  done();
};
