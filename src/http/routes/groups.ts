import type { FastifyPluginCallbackTypebox } from '@fastify/type-provider-typebox';
import { EvictReply, FreshnessQuery, GroupParams, GroupsReply } from '../../contract/index.js';
import { Body, listParts } from '../../registry/table/body.js';
import type { GroupCount } from '../../registry/table/group.js';
import type { Slices } from '../../registry/table/slices.js';
import { callerOf } from '../auth/auth.js';
import { freshnessOf } from './discovery-query.js';
import { sendJson } from '../replies/large-body.js';
import { commonProblems, jsonReply, noQuery, uncertainHeaders } from '../schemas.js';
import { sayUncertain } from '../replies/staleness.js';
import type { Unread } from '../replies/unread.js';

export interface OperationRouteOptions {
  slices: Slices;
  unread: Unread;
}

const groupsRoute = {
  config: { access: 'read' },
  schema: {
    operationId: 'listGroups',
    summary: 'Count instances by type, group and status',
    tags: ['operations'],
    querystring: FreshnessQuery,
    response: { 200: jsonReply(GroupsReply, 'Groups with live instances', uncertainHeaders), ...commonProblems('?consistency', 'must be one of strong') },
  },
} as const;

const evictRoute = {
  config: { access: 'admin' },
  schema: {
    operationId: 'evictGroup',
    summary: 'End the hold of a group',
    description: 'Who is past its lease (`suspect`) leaves at once, instead of when the hold is over. The live ones stay. Needs the verb `admin`.',
    tags: ['operations'],
    params: GroupParams,
    querystring: noQuery,
    response: { 200: jsonReply(EvictReply, 'Whether there was a hold to end'), ...commonProblems('?force', 'is not a known parameter') },
  },
} as const;

/** Who asked together was given one list: it is written once, and counts once while it is unread. */
const bodies = new WeakMap<GroupCount[], Body>();

function bodyOf(groups: GroupCount[], slices: Slices): Body {
  const known = bodies.get(groups);
  if (known) return known;
  const weight = groups.reduce((sum, { json }) => sum + json.length, 0);
  const body = new Body(() => listParts('{"groups":[', groups, ({ json }) => json, ']}\n', 256), weight, slices);
  bodies.set(groups, body);
  return body;
}

/** `/sd/v1/groups`: what is registered, at a glance, and what is held. */
export const operationRoutes: FastifyPluginCallbackTypebox<OperationRouteOptions> = (app, { slices, unread }, done) => {
  app.get('/groups', groupsRoute, async (request, reply) => {
    const { groups, ...certainty } = await request.registry.groups(freshnessOf(request.query));
    sayUncertain(reply, certainty);
    return sendJson(reply, await unread.hold(bodyOf(groups, slices), request.token?.name ?? '', reply.raw).write());
  });

  app.post('/groups/:type/:group/evict', evictRoute, async (request) => {
    const released = await request.registry.release(request.params, callerOf(request));
    request.log.warn({ ...request.params, released, caller: request.token?.name, ip: request.ip, requestId: request.id }, released ? 'group evicted by an operator' : 'group not evicted: it is not held');
    return { released };
  });
  done();
};
