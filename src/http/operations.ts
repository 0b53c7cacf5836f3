import type { FastifyPluginCallbackTypebox } from '@fastify/type-provider-typebox';
import { FreshnessQuery, GroupsReply } from '../contract/index.js';
import type { View } from '../registry/view.js';
import { freshnessOf } from './discovery-query.js';
import { commonProblems, jsonReply, staleHeader } from './schemas.js';
import { sayStale } from './stale.js';

export interface OperationRouteOptions {
  view: View;
}

const groupsRoute = {
  config: { access: 'read' },
  schema: {
    operationId: 'listGroups',
    summary: 'Count instances by type, group and status',
    tags: ['operations'],
    querystring: FreshnessQuery,
    response: { 200: jsonReply(GroupsReply, 'Groups with live instances', staleHeader), ...commonProblems },
  },
} as const;

/** `/sd/v1/groups`: what is registered, at a glance. */
export const operationRoutes: FastifyPluginCallbackTypebox<OperationRouteOptions> = (app, { view }, done) => {
  app.get('/groups', groupsRoute, async (request, reply) => {
    const groups = await request.registry.groups(freshnessOf(request.query));
    sayStale(reply, view.staleMs);
    return { groups };
  });
  done();
};
