import type { FastifyPluginCallbackTypebox } from '@fastify/type-provider-typebox';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { DiscoverQuery, DiscoverReply } from '../../contract/index.js';
import { isWholeGroup } from '../../registry/view/polls.js';
import type { Discovery, Poll } from '../../registry/queries.js';
import type { Prober } from '../../registry/prober.js';
import { knownTo, preferredWait, spreadMs } from './conditional.js';
import { discoveryOf, freshnessOf } from './discovery-query.js';
import { sendJson } from '../replies/large-body.js';
import { conditionalHeaders } from '../parameters.js';
import { goneSignal } from '../requests/gone.js';
import { Quota, type Lasting } from '../requests/quota.js';
import { commonProblems, jsonReply, noContent, readHeaders } from '../schemas.js';
import { sayUncertain } from '../replies/staleness.js';
import { answerTogether } from '../replies/reply-batching.js';
import type { Unread } from '../replies/unread.js';

export interface DiscoverRouteOptions {
  prober: Prober;
  unread: Unread;
}

const discoverRoute = {
  config: { access: 'read', headers: conditionalHeaders },
  schema: {
    operationId: 'discoverInstances',
    summary: 'Discover live instances',
    description: `Every status, unless \`status\` says otherwise; \`label.<key>=<value>\` chooses by label, any number of them. An unknown group is an empty list.

Answered from this replica's memory, as a rule a few milliseconds old. Send the \`ETag\` back as \`If-None-Match\`: 304 while the content is the same, and with
\`Prefer: wait=N\` the answer waits up to N seconds (at most 60) for another. Heartbeats do not change the tag.`,
    tags: ['instances'],
    querystring: DiscoverQuery,
    response: {
      200: jsonReply(DiscoverReply, 'What is live', {
        ...readHeaders,
        'Preference-Applied': { type: 'string', description: 'With Prefer: wait' },
        'X-Health-Unchecked': {
          type: 'integer',
          description: 'With healthCheck: how many are listed unprobed, for want of a TCP port or an address in an allowed network',
        },
      }),
      304: noContent('The content is the one you have', readHeaders),
      ...commonProblems('?limit', 'must be <= 10000'),
    },
  },
} as const;

/** `GET /sd/v1/instances`: discover, conditionally, or as a long poll. */
export const discoverRoutes: FastifyPluginCallbackTypebox<DiscoverRouteOptions> = (app, { prober, unread }, done) => {
  const quota = new Quota();
  app.get('/instances', discoverRoute, async (request, reply) => {
    const { query, headers } = request;
    const known = headers['if-none-match'] === undefined || query.healthCheck ? undefined : knownTo(headers['if-none-match']);
    const poll = pollOf(request, reply, known);
    await answerTogether();
    const asked = discoveryOf(query);
    const caller = request.token?.name ?? '';
    const leave = quota.enter(kindsOf(asked, poll !== undefined), caller);
    const { answer, revision, ...certainty } = await request.registry.discover(asked, freshnessOf(query), poll).finally(leave);
    reply.header('x-revision', revision).header('cache-control', 'private, no-cache');
    sayUncertain(reply, certainty);
    if (query.healthCheck) {
      const found = answer.read();
      const { passing, unchecked } = await prober(found.instances);
      const body = Buffer.from(`${JSON.stringify({ ...found, instances: passing })}\n`);
      unread.hold({ size: body.length }, caller, reply.raw);
      return sendJson(reply.header('x-health-unchecked', unchecked), [body]);
    }
    reply.header('etag', answer.etag);
    if (known?.(answer.etag)) return (reply as FastifyReply).code(304).send();
    return sendJson(reply, await unread.hold(answer, caller, reply.raw).write());
  });
  done();
};

/** What a question counts as while it is under way. The answer for a whole group is at hand; any other is looked for. */
function kindsOf(query: Discovery, polls: boolean): Lasting[] {
  if (isWholeGroup(query)) return polls ? ['poll'] : [];
  return polls ? ['poll', 'searchingPoll'] : ['search'];
}

/** The wait that a caller asks for. Without a content that it knows there is nothing to wait for. */
function pollOf(request: FastifyRequest, reply: FastifyReply, known: Poll['isKnown'] | undefined): Poll | undefined {
  const { prefer } = request.headers;
  if (prefer === undefined) return undefined;
  const seconds = preferredWait(prefer);
  if (seconds === undefined || !known) return undefined;
  request.lasting = true;
  reply.header('preference-applied', `wait=${seconds}`);
  return { isKnown: known, waitMs: spreadMs(seconds), signal: goneSignal(reply) };
}
