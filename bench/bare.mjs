// The bare limit: Fastify routes that do nothing, on the port given. A plain GET, and the gateway's paths, which take the
// same requests and answer as many bytes.
import fastify from 'fastify';

const app = fastify();
const answer = { nextHeartbeatMs: 10000, expiresAt: '2026-11-21T00:16:40.123Z', revision: '1763683200123x2864434397.1763683261450-1823091821' };
const bodies = Array.from({ length: 50 }, (_, i) => Buffer.alloc(62_000, String(i % 10)));
app.get('/', () => ({ hello: 'world' }));
app.post('/sd/v1/instances/:id/heartbeat', () => answer);
app.post('/sd/v1/instances', () => answer);
app.get('/sd/v1/instances', (request, reply) => {
  if (request.headers['if-none-match']) return reply.code(304).send();
  return reply.type('application/json; charset=utf-8').send(bodies[Number(request.query.group.split('-')[1])]);
});
await app.listen({ host: '127.0.0.1', port: Number(process.argv[2]) });
