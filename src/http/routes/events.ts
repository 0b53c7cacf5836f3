import type { FastifyPluginCallbackTypebox } from '@fastify/type-provider-typebox';
import { CHANGE_KINDS, DEFAULT_EVENTS, EventsQuery, EventsReply, type ChangeKind } from '../../contract/index.js';
import { Body, listParts } from '../../registry/table/body.js';
import { changeJson } from '../../registry/log/change.js';
import { invalidField } from '../../registry/errors.js';
import type { HistoryQuery } from '../../registry/queries.js';
import { parseRevision, revisionOf } from '../../registry/revision.js';
import type { Slices } from '../../registry/table/slices.js';
import { sendJson } from '../replies/large-body.js';
import { commonProblems, jsonReply } from '../schemas.js';
import type { Unread } from '../replies/unread.js';

const eventsRoute = {
  config: { access: 'read' },
  schema: {
    operationId: 'listEvents',
    summary: 'Look back at what happened',
    description:
      'The log of changes, latest first; with `after`, oldest first from there on. Pass `next` as the same parameter. A page may hold fewer than `limit`, or none, and still have a `next`.',
    tags: ['watch'],
    querystring: EventsQuery,
    response: { 200: jsonReply(EventsReply, 'What happened'), ...commonProblems('?kind', `must be some of ${CHANGE_KINDS.join(', ')}, separated by commas`) },
  },
} as const;

/** `/sd/v1/events`: the log of changes, for people and for whoever missed something. */
export const historyRoutes: FastifyPluginCallbackTypebox<{ unread: Unread; slices: Slices }> = (app, { unread, slices }, done) => {
  app.get('/events', eventsRoute, async (request, reply) => {
    const { epoch, changes, next, gap } = await request.registry.history(historyOf(request.query));
    const more = next === undefined ? '' : `,"next":${JSON.stringify(revisionOf({ epoch, id: next }))}`;
    const tail = `]${more}${gap ? ',"gap":true' : ''}}\n`;
    const weight = changes.reduce((sum, { record }) => sum + record.head.length, 0);
    const body = new Body(() => listParts('{"events":[', changes, changeJson, tail), weight, slices);
    return sendJson(reply, await unread.hold(body, request.token?.name ?? '', reply.raw).write());
  });
  done();
};

function historyOf({ type, group, instanceId, kind, after, before, limit = DEFAULT_EVENTS }: EventsQuery): HistoryQuery {
  if (after !== undefined && before !== undefined) throw invalidField('?before', 'cannot be given together with after');
  return {
    limit,
    ...(type !== undefined && { type }),
    ...(group !== undefined && { group }),
    ...(instanceId !== undefined && { instanceId }),
    ...(kind !== undefined && { kinds: kind.split(',') as ChangeKind[] }),
    ...(after !== undefined && { after: positionOf('?after', after) }),
    ...(before !== undefined && { before: positionOf('?before', before) }),
  };
}

function positionOf(pointer: string, revision: string) {
  const position = parseRevision(revision);
  if (!position) throw invalidField(pointer, 'must be a revision that this API gave');
  return position;
}
