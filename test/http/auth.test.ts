import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import request from 'supertest';
import { describe, expect, onTestFinished, test } from 'vitest';
import { TokenStore } from '../../src/http/auth/tokens.js';
import { buildGateway, caller, TOKEN } from '../helpers/gateway.js';
import { expectProblem } from '../helpers/problem.js';
import { sharedGateway } from '../helpers/shared-gateway.js';
import { secretOf, tokensOf } from '../helpers/tokens.js';
import { until } from '../helpers/until.js';

const gateway = sharedGateway({
  trustProxy: ['127.0.0.0/8'],
  tokens: tokensOf({ name: 'reader', verbs: ['read'] }, { name: 'writer', verbs: ['write'] }, { name: 'operator', verbs: ['admin'] }, { name: 'both', verbs: ['read', 'write'] }),
});

/** Every route behind a token, and the verb it takes. */
const routes: [method: 'get' | 'post' | 'patch' | 'delete', path: string, verb: 'read' | 'write'][] = [
  ['post', '/sd/v1/instances', 'write'],
  ['get', '/sd/v1/instances', 'read'],
  ['get', '/sd/v1/instances/x', 'read'],
  ['patch', '/sd/v1/instances/x', 'write'],
  ['delete', '/sd/v1/instances/x', 'write'],
  ['post', '/sd/v1/instances/x/heartbeat', 'write'],
  ['post', '/sd/v1/heartbeats', 'write'],
  ['get', '/sd/v1/groups', 'read'],
  ['get', '/sd/v1/events', 'read'],
  ['get', '/sd/v1/watch?type=', 'read'], // refused for its type: without that it would not end
  ['post', '/sd/v1/session', 'read'],
  ['get', '/metrics', 'read'],
];
const open = ['/livez', '/readyz', '/docs', '/openapi.json'];

describe('a token', () => {
  test.each(routes)('is needed for %s %s, with the verb %s', async (method, path, verb) => {
    const { server } = gateway().app;
    const refused = await request(server)[method](path).set('X-Forwarded-For', '198.51.100.1'); // too many from one address would be 429
    expectProblem(refused, 401, 'unauthorized');
    const byOperator = await request(server)[method](path).set('X-API-Token', secretOf('operator'));
    if (path === '/metrics') expect(byOperator.status).toBe(200); // `admin` will do for what tells of the whole
    else expectProblem(byOperator, 403, 'forbidden');
    expectProblem(await request(server)[method](path).set('X-API-Token', secretOf(verb === 'read' ? 'writer' : 'reader')), 403, 'forbidden');
    const allowed = await request(server)[method](path).set('X-API-Token', secretOf('both'));
    expect([200, 204, 400, 404]).toContain(allowed.status);
  });

  test.each(open)('is not needed for %s', async (path) => {
    const { status } = await request(gateway().app.server).get(path);
    expect([200, 302]).toContain(status);
  });

  test('is taken from X-API-Token or as a bearer, whatever the case of the scheme', async () => {
    const { server } = gateway().app;
    const ways: [header: string, value: string][] = [
      ['X-API-Token', secretOf('reader')],
      ['Authorization', `Bearer ${secretOf('reader')}`],
      ['Authorization', `bearer ${secretOf('reader')}`],
    ];
    for (const [header, value] of ways) await request(server).get('/sd/v1/groups').set(header, value).expect(200);
  });

  test('is never taken from the query, and then it is not repeated in the answer either', async () => {
    const { server } = gateway().app;
    for (const name of ['token', 'access_token', 'X-API-Token', 'api_key']) {
      const answer = await request(server).get(`/sd/v1/groups?${name}=${secretOf('reader')}`);
      expectProblem(answer, 401, 'unauthorized');
      expect(JSON.stringify([answer.headers, answer.text])).not.toContain(secretOf('reader'));
    }
  });

  test('that is missing and one that is wrong get the same answer', async () => {
    const { server } = gateway().app;
    const missing = await request(server).get('/sd/v1/groups');
    const wrong = await request(server).get('/sd/v1/groups').set('X-API-Token', 'wrong');
    expect({ ...wrong.body, requestId: '' }).toEqual({ ...missing.body, requestId: '' });
    expect(wrong.headers['www-authenticate']).toBe(missing.headers['www-authenticate']);
  });

  test('is checked before the body is read: the wrong token with a broken body is 401', async () => {
    const { server } = gateway().app;
    const bodies: [type: string, body: string][] = [['application/json', '{'], ['text/plain', 'x'], ['application/json', `"${'x'.repeat(70_000)}"`]];
    for (const [type, body] of bodies) expectProblem(await request(server).post('/sd/v1/instances').set('Content-Type', type).send(body), 401, 'unauthorized');
    expectProblem(await request(server).post('/sd/v1/instances').set('X-API-Token', secretOf('reader')).set('Content-Type', 'application/json').send('{'), 403, 'forbidden');
  });

  test('may be one of several in the list of the environment', async () => {
    const { tokensFromList } = await import('../../src/http/auth/tokens.js');
    const { app } = await buildGateway({ tokens: tokensFromList('first-token, second-token') });
    for (const token of ['first-token', 'second-token']) await caller(app.server, token).get('/groups').expect(200);
    for (const token of ['first-token, second-token', 'first', TOKEN]) expectProblem(await caller(app.server, token).get('/groups'), 401, 'unauthorized');
  });
});

describe('failed authentications', () => {
  test('are 429 after 20 in a second from one address, while a right token goes on working', async () => {
    const { app, call } = await buildGateway();
    const { server } = app;
    const until429 = async () => {
      const answers = await Promise.all(Array.from({ length: 60 }, () => request(server).get('/sd/v1/groups').set('X-API-Token', 'wrong')));
      return answers.find(({ status }) => status === 429);
    };
    expectProblem(await until(until429), 429, 'rate_limited');
    await call.get('/groups').expect(200);
    await until(async () => (await request(server).get('/sd/v1/groups')).status === 401);
  });

  test('are counted for the address behind a trusted proxy, not for the proxy', async () => {
    const { app } = await buildGateway({ trustProxy: ['127.0.0.0/8'] });
    const from = (address: string) => request(app.server).get('/sd/v1/groups').set('X-Forwarded-For', address);
    await until(async () => (await Promise.all(Array.from({ length: 60 }, () => from('203.0.113.7')))).some(({ status }) => status === 429));
    expectProblem(await from('203.0.113.8'), 401, 'unauthorized');
  });
});

describe('a tokens file', () => {
  const entry = (name: string, verbs: string[]) => ({ name, token: secretOf(name), verbs });

  test('is read again when it changes, and a broken one leaves the tokens as they were', async () => {
    const dir = mkdtempSync(join(tmpdir(), 'rollcall-tokens-'));
    onTestFinished(() => rmSync(dir, { recursive: true }));
    const file = join(dir, 'tokens.json');
    writeFileSync(file, JSON.stringify([entry('old', ['read'])]));
    const store = new TokenStore([], file);
    onTestFinished(() => store.close());
    expect(store.find(secretOf('old'))?.name).toBe('old');

    writeFileSync(file, JSON.stringify([entry('new', ['read', 'write']), entry('newer', ['read'])]));
    await until(() => store.find(secretOf('new')));
    expect(store.find(secretOf('old'))).toBeUndefined();

    writeFileSync(file, '[{"name":');
    const reread = until(() => store.find(secretOf('last')));
    expect(store.find(secretOf('new'))?.verbs).toEqual(new Set(['read', 'write']));
    writeFileSync(file, JSON.stringify([entry('last', ['read'])]));
    await reread;
    expect(store.find(secretOf('new'))).toBeUndefined();
  });
});
