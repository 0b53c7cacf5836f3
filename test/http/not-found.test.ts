import request from 'supertest';
import { describe, expect, test } from 'vitest';
import { expectProblem } from '../helpers/problem.js';
import { sharedGateway } from '../helpers/shared-gateway.js';

const gateway = sharedGateway();

describe('a path that is no route', () => {
  test.each(['/sd', '/sd/v1', '/sd/v2/instances', '/sd/v1/instance', '/sd/v1/instances/a/b', '/sd/v1/instances/a/heartbeat/', '/favicon.ico', '/.env', '/docs.json', '/metrics/x'])('%s is 404', async (path) => {
    expectProblem(await request(gateway().app.server).get(path), 404, 'route_not_found');
  });

  test('is 404 with a token too, and with a body that would not be read', async () => {
    const { call } = gateway();
    expectProblem(await call.get('/nothing'), 404, 'route_not_found');
    expectProblem(await call.post('/nothing').set('Content-Type', 'application/json').send('{'), 404, 'route_not_found');
    expectProblem(await call.post('/nothing').set('Content-Type', 'text/plain').send('x'), 404, 'route_not_found');
  });
});

/** What each route takes, as `Allow` says it. */
const routes: [path: string, allow: string][] = [
  ['/sd/v1/instances', 'GET, HEAD, POST'],
  ['/sd/v1/instances/x', 'DELETE, GET, HEAD, PATCH'],
  ['/sd/v1/instances/x?type=game', 'DELETE, GET, HEAD, PATCH'],
  ['/sd/v1/instances/x/heartbeat', 'POST'],
  ['/sd/v1/heartbeats', 'POST'],
  ['/sd/v1/groups', 'GET, HEAD'],
  ['/sd/v1/events', 'GET, HEAD'],
  ['/sd/v1/watch', 'GET'],
  ['/sd/v1/session', 'POST'],
  ['/livez', 'GET, HEAD'],
  ['/readyz', 'GET, HEAD'],
  ['/metrics', 'GET, HEAD'],
  ['/openapi.json', 'GET, HEAD'],
];

describe('a route that has no such method', () => {
  test.each(routes)('%s is 405 and allows %s', async (path, allow) => {
    const { server } = gateway().app;
    for (const method of ['put', 'options'] as const) {
      const answer = await request(server)[method](path);
      expectProblem(answer, 405, 'method_not_allowed');
      expect(answer.headers.allow).toBe(allow);
    }
    const put = await request(server).put(path).set('Content-Type', 'application/json').send('{');
    expectProblem(put, 405, 'method_not_allowed');
  });
});

test('HEAD answers as GET does, without the body', async () => {
  const { server } = gateway().app;
  const { call } = gateway();
  const get = await call.get('/groups').expect(200);
  const head = await request(server).head('/sd/v1/groups').set('X-API-Token', 'test-token-of-the-suite').expect(200);
  expect(head.text).toBeFalsy();
  expect(head.headers['content-length']).toBe(get.headers['content-length']);
  await request(server).head('/sd/v1/groups').expect(401);
});

test('every refusal forbids sniffing and storing', async () => {
  const { server } = gateway().app;
  for (const path of ['/nothing', '/sd/v1/instances', '/sd/v1/instances/%zz']) {
    const { headers } = await request(server).get(path);
    expect([path, headers['x-content-type-options'], headers['cache-control']]).toEqual([path, 'nosniff', 'no-store']);
  }
});
