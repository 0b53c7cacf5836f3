import type { FastifyPluginCallbackTypebox } from '@fastify/type-provider-typebox';
import { Type } from 'typebox';
import { Heartbeat, HeartbeatBatch, HeartbeatBatchReply, HeartbeatReply, InstanceParams } from '../../contract/index.js';
import { RegistryError } from '../../registry/errors.js';
import { heartbeatIntervalMs } from '../../registry/lease.js';
import type { Beat, BeatResult, Registrar } from '../../registry/registry.js';
import { isoOf } from '../../registry/log/record.js';
import { forbiddenInstance, notFound, stale, tooManyLabels } from '../../registry/refusals.js';
import { laterRevision } from '../../registry/revision.js';
import type { Pressure } from '../requests/pressure.js';
import { bodyProblems, commonProblems, jsonReply, noQuery, notFoundProblem, ref, staleProblem } from '../schemas.js';

export interface HeartbeatRouteOptions {
  heartbeatIntervalMs: number;
  pressure: Pressure;
  /** Called with every beat's status. */
  observe: (status: BeatResult['status']) => void;
}

const BATCH_BODY_LIMIT = 1024 * 1024;

const heartbeatRoute = {
  config: { access: 'write', bucket: 'heartbeat' },
  schema: {
    operationId: 'heartbeat',
    summary: 'Renew a lease',
    description:
      'An empty body is fine. 404: the registry does not know the id, register again. 409: another process owns it, do not register again.',
    tags: ['heartbeats'],
    params: InstanceParams,
    querystring: noQuery,
    body: Type.Union([ref(Heartbeat), Type.Null()]),
    response: {
      200: jsonReply(HeartbeatReply, 'Renewed'),
      ...commonProblems('/performance', 'is too large as JSON'),
      ...bodyProblems,
      ...notFoundProblem,
      ...staleProblem,
    },
  },
} as const;

const batchRoute = {
  bodyLimit: BATCH_BODY_LIMIT,
  config: { access: 'write', bucket: 'heartbeat' },
  schema: {
    operationId: 'heartbeatBatch',
    summary: 'Renew up to 1,000 leases',
    description: 'Applied in order, one result each; one that fails does not fail its neighbours.',
    tags: ['heartbeats'],
    querystring: noQuery,
    body: ref(HeartbeatBatch),
    response: { 200: jsonReply(HeartbeatBatchReply, 'One result per heartbeat'), ...commonProblems('/0/instanceId', 'is required'), ...bodyProblems },
  },
} as const;

/** `/sd/v1/…/heartbeat` and `/sd/v1/heartbeats`. */
export const heartbeatRoutes: FastifyPluginCallbackTypebox<HeartbeatRouteOptions> = (app, { heartbeatIntervalMs: configuredMs, pressure, observe }, done) => {
  const beat = async (registry: Registrar, beats: Beat[]) => {
    try {
      const results = await registry.heartbeat(beats);
      for (const { status } of results) observe(status);
      return results;
    } catch (error) {
      for (const _ of beats) observe(503); // an outage must show in the metric that people watch
      throw error;
    }
  };
  const nextMs = (ttlMs: number) => pressure.nextHeartbeatMs(heartbeatIntervalMs(ttlMs, configuredMs), ttlMs);

  app.post('/instances/:id/heartbeat', heartbeatRoute, async (request) => {
    const [result] = (await beat(request.registry, [{ ...request.body, instanceId: request.params.id }])) as [BeatResult];
    if (result.status !== 200) throw refusalOf(request.params.id, result);
    return { nextHeartbeatMs: nextMs(result.ttlMs), expiresAt: isoOf(result.expiresAtMs), revision: result.revision };
  });

  app.post('/heartbeats', batchRoute, async (request) => {
    const results = await beat(request.registry, request.body);
    const renewed = results.filter((result) => result.status === 200);
    return {
      results: results.map((result, i) => ({
        instanceId: request.body[i]?.instanceId ?? '',
        status: result.status,
        ...(result.status !== 200 && { code: result.code }),
      })),
      nextHeartbeatMs: renewed.length > 0 ? nextMs(Math.min(...renewed.map(({ ttlMs }) => ttlMs))) : configuredMs,
      ...(renewed.length > 0 && { revision: renewed.map(({ revision }) => revision).reduce(laterRevision) }),
    };
  });
  done();
};

function refusalOf(id: string, result: Exclude<BeatResult, { status: 200 }>): RegistryError {
  switch (result.status) {
    case 404:
      return notFound(id, ': register it again');
    case 409:
      return stale(id);
    case 400:
      return tooManyLabels();
    case 403:
      return forbiddenInstance(id);
    case 503:
      return new RegistryError('store_unavailable', 'the registry store refused this instance: try again', { cause: new Error(result.detail) });
  }
}
