import { readFileSync } from 'node:fs';
import request from 'supertest';
import { expect, test } from 'vitest';
import { parse } from 'yaml';
import { buildGateway } from '../helpers/gateway.js';

/** The headers of answers that the document names, but for those that no script may or need read. */
const document = parse(readFileSync('openapi.yaml', 'utf8')) as { paths: Record<string, Record<string, { responses?: Record<string, { headers?: object }> }>> };
const documented = new Set(
  Object.values(document.paths)
    .flatMap((path) => Object.values(path))
    .flatMap(({ responses = {} }) => Object.values(responses))
    .flatMap(({ headers = {} }) => Object.keys(headers).map((name) => name.toLowerCase()))
    .filter((name) => !['set-cookie', 'www-authenticate'].includes(name)),
);

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
  expect(documented.size).toBeGreaterThan(5);
  for (const name of ['x-request-id', ...documented]) expect(exposed.split(/, */)).toContain(name);
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
