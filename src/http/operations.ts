import type { FastifyPluginCallbackTypebox } from '@fastify/type-provider-typebox';
import { GroupsReply } from '../contract/index.js';
import { commonProblems, jsonReply, noQuery } from './schemas.js';

const groupsRoute = {
  config: { access: 'read' },
  schema: {
    operationId: 'listGroups',
    summary: 'Count instances by type, group and status',
    tags: ['operations'],
    querystring: noQuery,
    response: { 200: jsonReply(GroupsReply, 'Groups with live instances'), ...commonProblems },
  },
} as const;

/** `/sd/v1/groups`: what is registered, at a glance. */
export const operationRoutes: FastifyPluginCallbackTypebox = (app, _options, done) => {
  app.get('/groups', groupsRoute, async (request) => ({ groups: await request.registry.groups() }));
  done();
};
