import type { FastifyPluginCallbackTypebox } from '@fastify/type-provider-typebox';
import { WatchQuery } from '../contract/index.js';
import { RegistryError } from '../registry/errors.js';
import { EventStream } from './event-stream.js';
import { commonProblems } from './schemas.js';

const watchRoute = {
  config: { access: 'read' },
  exposeHeadRoute: false,
  schema: {
    operationId: 'watchInstances',
    summary: 'Watch what changes',
    description: `Server-sent events. First \`snapshot\` (\`{ instances, revision, more? }\`, in frames of at most 1,000; the last one carries the \`id\`), then
\`registered\`, \`updated\`, \`removed\`, \`expired\` (\`{ kind, revision, at, cause, by?, instance, … }\`) in the order of the log, each with its position as \`id\`.
\`bookmark\` (\`{ revision }\`) every 15 seconds if the position moved elsewhere, else a comment. Come back with \`Last-Event-ID\`, to any replica: nothing
is missed and nothing told twice. Where that is not possible (\`reset\`, \`{ reason }\`), a new snapshot follows. An instance that moves out of the
watched group is \`removed\` with cause \`moved\`. With \`performance=true\` also \`performance\`, at most once a second per instance.`,
    tags: ['watch'],
    querystring: WatchQuery,
    response: {
      200: {
        description: 'A stream that does not end by itself',
        content: { 'text/event-stream': { schema: { type: 'string', examples: ['id: 1763683200123x2864434397.1763683261450-1823091821\nevent: removed\ndata: {…}\n\n'] } } },
      },
      ...commonProblems,
    },
  },
} as const;

/** `/sd/v1/watch`: the log of changes as it is written. */
export const watchRoutes: FastifyPluginCallbackTypebox = (app, _options, done) => {
  app.get('/watch', watchRoute, async (request, reply) => {
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
