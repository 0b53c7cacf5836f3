import type { AddressInfo } from 'node:net';
import { gzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { buildGateway, caller, registration, TOKEN } from '../helpers/gateway.js';
import { expectProblem } from '../helpers/problem.js';
import { exchange } from '../helpers/raw-http.js';
import { sharedGateway } from '../helpers/shared-gateway.js';
import { secretOf, tokensOf } from '../helpers/tokens.js';
import { until } from '../helpers/until.js';

const gateway = sharedGateway();
const JSON_TYPE = 'application/json';

/** A right registration of exactly so many bytes, by blanks that JSON allows. */
const padded = (bytes: number) => JSON.stringify(registration()).padEnd(bytes);

describe('a body', () => {
  test('may be 64 KiB and not a byte more', async () => {
    const { call } = gateway();
    await call.post('/instances').type(JSON_TYPE).send(padded(65_536)).expect(201);
    expectProblem(await call.post('/instances').type(JSON_TYPE).send(padded(65_537)), 413, 'payload_too_large');
    expectProblem(await call.patch('/instances/x').type(JSON_TYPE).send('{}'.padEnd(65_537)), 413, 'payload_too_large');
    expectProblem(await call.post('/instances/x/heartbeat').type(JSON_TYPE).send('{}'.padEnd(65_537)), 413, 'payload_too_large');
  });

  test('of a batch may be 1 MiB and not a byte more', async () => {
    const { call } = gateway();
    const batch = JSON.stringify([{ instanceId: 'nobody' }]);
    await call.post('/heartbeats').type(JSON_TYPE).send(batch.padEnd(1_048_576)).expect(200);
    expectProblem(await call.post('/heartbeats').type(JSON_TYPE).send(batch.padEnd(1_048_577)), 413, 'payload_too_large');
  });

  test.each(['text/plain', 'application/xml', 'application/x-www-form-urlencoded', 'application/octet-stream'])('as %s is 415', async (type) => {
    expectProblem(await gateway().call.post('/instances').set('Content-Type', type).send(JSON.stringify(registration())), 415, 'unsupported_media_type');
  });

  test('that is compressed is 415, one that says it is not is taken', async () => {
    const { call } = gateway();
    const gzip = gzipSync(JSON.stringify(registration()));
    expectProblem(await call.post('/instances').set('Content-Encoding', 'gzip').type(JSON_TYPE).send(gzip), 415, 'unsupported_media_type');
    await call.post('/instances').set('Content-Encoding', 'identity').send(registration()).expect(201);
  });
});

test('headers may be 8 KiB together; more is 431', async () => {
  const { port } = gateway().app.server.address() as AddressInfo;
  const bytes = (note: number) => `GET /sd/v1/groups HTTP/1.1\r\nhost: x\r\nx-api-token: ${TOKEN}\r\nx-note: ${'n'.repeat(note)}\r\n\r\n`;
  expect(await exchange(port, bytes(7500))).toMatchObject({ status: 200 });
  expectProblem(await exchange(port, bytes(8192)), 431, 'payload_too_large');
});

test('a request id of the caller is repeated if it is fit for a log, and replaced if not', async () => {
  const { call } = gateway();
  const fit = await call.get('/instances/nobody').set('X-Request-Id', 'trace-1.a_B');
  expect([fit.headers['x-request-id'], fit.body.requestId]).toEqual(['trace-1.a_B', 'trace-1.a_B']);
  for (const unfit of ['a b', 'x'.repeat(65), '{"level":50}']) {
    expect((await call.get('/instances/nobody').set('X-Request-Id', unfit)).headers['x-request-id']).toMatch(/^[0-9a-f]{8}-[0-9a-z]+$/);
  }
});

describe('with a rate limit', () => {
  const tokens = () => tokensOf({ name: 'a', verbs: ['read', 'write'] }, { name: 'b', verbs: ['read'] });
  const flood = (send: () => PromiseLike<{ status: number; headers: Record<string, string>; body: unknown }>) =>
    until(async () => (await Promise.all(Array.from({ length: 20 }, send))).find(({ status }) => status === 429));

  test('a token that asks too often gets 429 with Retry-After, another token does not, and a second later all is well', async () => {
    const { app } = await buildGateway({ rateLimitPerSecond: 5, tokens: tokens() });
    const [a, b] = [caller(app.server, secretOf('a')), caller(app.server, secretOf('b'))];
    expectProblem(await flood(() => a.get('/groups')), 429, 'rate_limited');
    await b.get('/groups').expect(200);
    await until(async () => (await a.get('/groups')).status === 200);
  });

  test('heartbeats have a bucket of their own: other traffic does not push a lease out', async () => {
    const { app } = await buildGateway({ rateLimitPerSecond: 5, tokens: tokens() });
    const a = caller(app.server, secretOf('a'));
    await a.post('/instances').send(registration({ instanceId: 'game-1' })).expect(201);
    await flood(() => a.get('/groups'));
    await a.post('/instances/game-1/heartbeat').expect(200);
    await a.post('/heartbeats').send([{ instanceId: 'game-1' }]).expect(200);
    expectProblem(await flood(() => a.post('/instances/game-1/heartbeat')), 429, 'rate_limited');
  });

  test('health and documentation are never limited', async () => {
    const { call } = await buildGateway({ rateLimitPerSecond: 1 });
    const answers = await Promise.all(Array.from({ length: 20 }, () => call.get('//livez')));
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]));
  });
});

test('without a rate limit nobody is turned away', async () => {
  const { call } = gateway();
  const answers = await Promise.all(Array.from({ length: 100 }, () => call.get('/groups')));
  expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]));
});
