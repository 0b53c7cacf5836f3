// The bare limit: one Fastify route that does nothing, on the port given.
import fastify from 'fastify';

const app = fastify();
app.get('/', () => ({ hello: 'world' }));
await app.listen({ host: '127.0.0.1', port: Number(process.argv[2]) });
