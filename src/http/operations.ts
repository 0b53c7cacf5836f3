import type { FastifyPluginCallbackTypebox } from '@fastify/type-provider-typebox';
import { EvictReply, FreshnessQuery, GroupParams, GroupsReply } from '../contract/index.js';
import type { GroupCount } from '../registry/group.js';
import type { View } from '../registry/view.js';
import { callerOf } from './auth.js';
import { freshnessOf } from './discovery-query.js';
import { sendJson } from './large-body.js';
import { commonProblems, jsonReply, noQuery, uncertainHeaders } from './schemas.js';
import { sayUncertain } from './stale.js';
import type { Unread } from './unread.js';

export interface OperationRouteOptions {
  view: View;
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
const bodies = new WeakMap<GroupCount[], { size: number; body: Buffer }>();

function bodyOf(groups: GroupCount[]) {
  const known = bodies.get(groups);
  if (known) return known;
  const body = Buffer.from(`{"groups":[${groups.map(({ json }) => json).join(',')}]}\n`);
  const made = { size: body.length, body };
  bodies.set(groups, made);
  return made;
}

/** `/sd/v1/groups`: what is registered, at a glance, and what is held. */
export const operationRoutes: FastifyPluginCallbackTypebox<OperationRouteOptions> = (app, { view, unread }, done) => {
  app.get('/groups', groupsRoute, async (request, reply) => {
    const groups = await request.registry.groups(freshnessOf(request.query));
    sayUncertain(reply, view);
    return sendJson(reply, [unread.hold(bodyOf(groups), request.token?.name ?? '', reply.raw).body]);
  });

  app.post('/groups/:type/:group/evict', evictRoute, async (request) => {
    const released = await request.registry.release(request.params, callerOf(request));
    request.log.warn({ ...request.params, released, caller: request.token?.name, ip: request.ip, requestId: request.id }, released ? 'group evicted by an operator' : 'group not evicted: it is not held');
    return { released };
  });
  done();
};
