import type { FastifyPluginCallbackTypebox } from '@fastify/type-provider-typebox';
import { WatchEvent, WatchQuery } from '../../contract/index.js';
import { RegistryError } from '../../registry/errors.js';
import { EventStream } from '../replies/event-stream.js';
import { resumeHeaders } from '../parameters.js';
import { Quota } from '../requests/quota.js';
import { commonProblems, ref } from '../schemas.js';

const EXAMPLE = 'id: 1763683200123x2864434397.1763683261450-1823091821\nevent: bookmark\ndata: {"revision":"1763683200123x2864434397.1763683261450-1823091821"}\n\n';

const watchRoute = {
  config: { access: 'read', headers: resumeHeaders },
  exposeHeadRoute: false,
  schema: {
    operationId: 'watchInstances',
    summary: 'Watch what changes',
    description: `Server-sent events, without an end: this page cannot show them, use \`curl -N\`. The schema is that of each event's \`data\`.

First \`snapshot\`, in frames of at most 1,000 instances. Then \`registered\`, \`updated\`, \`removed\`, \`expired\`, \`restored\` (Redis had lost it), \`held\` and
\`released\` (of a group that fell silent at once), in the order of the log, each with its position as \`id\`. \`bookmark\` every 15 seconds if the position
moved elsewhere, else a comment. Come back with \`Last-Event-ID\`, to any replica: nothing is missed and nothing told twice. Where that is not
possible, \`reset\` and a new snapshot. An instance that moves out of what is watched is \`removed\` with cause \`moved\`. With \`performance=true\`
also \`performance\`, at most once a second per instance. Ignore events that you do not know.`,
    tags: ['watch'],
    querystring: WatchQuery,
    response: {
      200: {
        description: 'A stream that does not end by itself',
        content: { 'text/event-stream': { schema: ref(WatchEvent), example: EXAMPLE } },
      },
      ...commonProblems('?performance', 'must be true or false, given once'),
    },
  },
} as const;

/** `/sd/v1/watch`: the log of changes as it is written. */
export const watchRoutes: FastifyPluginCallbackTypebox = (app, _options, done) => {
  const quota = new Quota();
  app.get('/watch', watchRoute, async (request, reply) => {
    reply.raw.once('close', quota.enter(['watch'], request.token?.name ?? ''));
    request.lasting = true;
    const from = request.headers['last-event-id'];
    const stream = new EventStream(reply, () => app.mayStill(request));
    try {
      await request.registry.watch(request.query, typeof from === 'string' && from !== '' ? from : undefined, stream);
    } catch (error) {
      if (!stream.opened) throw error;
      if (!(error instanceof RegistryError)) request.log.error({ err: error as Error, requestId: request.id }, 'watch broke off');
      stream.destroy(); // it comes back with its position
    }
    return reply;
  });
  done();
};
