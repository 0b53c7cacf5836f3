import request from 'supertest';
import { expect, test } from 'vitest';
import { buildGateway } from '../helpers/gateway.js';

const ORIGIN = 'https://ops.example.com';
const preflight = (server: Parameters<typeof request>[0], origin: string, method: string) =>
  request(server).options('/sd/v1/instances/x').set('Origin', origin).set('Access-Control-Request-Method', method).set('Access-Control-Request-Headers', 'x-api-token,content-type');

test('a page of an allowed origin may call every route with a token', async () => {
  const { app, call } = await buildGateway({ corsOrigins: [ORIGIN, 'https://other.example.com'] });
  for (const method of ['GET', 'POST', 'PATCH', 'DELETE']) {
    const { status, headers } = await preflight(app.server, ORIGIN, method);
    expect(status).toBe(204);
    expect(headers['access-control-allow-origin']).toBe(ORIGIN);
    expect(headers['access-control-allow-methods']).toContain(method);
    expect(headers['access-control-allow-headers']?.toLowerCase()).toContain('x-api-token');
  }
  const { headers } = await call.get('/groups').set('Origin', ORIGIN).expect(200);
  expect(headers['access-control-allow-origin']).toBe(ORIGIN);
  expect(headers.vary?.toLowerCase()).toContain('origin');
  expect(headers).not.toHaveProperty('access-control-allow-credentials');
});

test('a page of an allowed origin can read what the headers of an answer say', async () => {
  const { call } = await buildGateway({ corsOrigins: [ORIGIN] });
  const { headers } = await call.get('/groups').set('Origin', ORIGIN).expect(200);
  const exposed = headers['access-control-expose-headers']?.toLowerCase() ?? '';
  for (const name of ['x-revision', 'x-request-id', 'x-health-unchecked', 'retry-after', 'location']) expect(exposed).toContain(name);
});

test('a page of another origin is not let in', async () => {
  const { app } = await buildGateway({ corsOrigins: [ORIGIN] });
  for (const origin of ['https://evil.example.com', 'https://ops.example.com.evil.example', 'http://ops.example.com', 'null']) {
    expect((await preflight(app.server, origin, 'GET')).headers['access-control-allow-origin']).not.toBe(origin);
  }
});

test('without origins in the configuration there is no such header', async () => {
  const { call } = await buildGateway();
  expect((await call.get('/groups').set('Origin', ORIGIN)).headers).not.toHaveProperty('access-control-allow-origin');
});
