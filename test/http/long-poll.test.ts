import { Agent, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { describe, expect, onTestFinished, test } from 'vitest';
import { buildGateway, registration, TOKEN } from '../helpers/gateway.js';
import { expectProblem } from '../helpers/problem.js';
import { sharedGateway } from '../helpers/shared-gateway.js';
import { send } from '../helpers/steady-load.js';
import { until } from '../helpers/until.js';

const gateway = sharedGateway();
type Gateway = ReturnType<typeof gateway>;

const KR = '/instances?type=game&group=kr-1';
const urlOf = ({ app }: Gateway, path: string) => `http://127.0.0.1:${(app.server.address() as AddressInfo).port}/sd/v1${path}`;
const register = (fields: object = {}) => gateway().call.post('/instances').send(registration({ instanceId: 'a', incarnation: 'life-1', ...fields }));
const tagOf = async (path = KR) => (await gateway().call.get(path).expect(200)).headers.etag as string;

interface Polled {
  status: number;
  ms: number;
  etag: string | undefined;
  applied: string | string[] | undefined;
  ids: string[];
}

/** One long poll, timed, on a socket of its own. */
function poll(tag: string, wait: string | number, { path = KR, signal, on = gateway() }: { path?: string; signal?: AbortSignal; on?: Gateway } = {}): Promise<Polled> {
  const from = performance.now();
  const headers = { 'x-api-token': TOKEN, 'if-none-match': tag, prefer: typeof wait === 'number' ? `wait=${wait}` : wait, connection: 'close' };
  return new Promise((resolve, reject) => {
    const asked = request(urlOf(on, path), { headers, agent: false, ...(signal && { signal }) }, (response) => {
      text(response).then((body) => {
        const { etag, 'preference-applied': applied } = response.headers;
        const ids = body === '' ? [] : ((JSON.parse(body) as { instances?: { instanceId: string }[] }).instances ?? []).map(({ instanceId }) => instanceId);
        resolve({ status: response.statusCode ?? 0, ms: performance.now() - from, etag, applied, ids });
      }, reject);
    });
    asked.on('error', reject).end();
  });
}

const metric = async (call: Gateway['call'], name: string) => Number(new RegExp(`^${name} (\\S+)`, 'm').exec((await call.get('//metrics')).text)?.[1]);
const waiting = (count: number, { call } = gateway()) => until(async () => (await metric(call, 'rollcall_long_polls')) === count);

describe('a long poll wakes', () => {
  type Call = Gateway['call'];
  const causes: [what: string, wake: (call: Call) => PromiseLike<unknown>, ids: string[]][] = [
    ['on a registration', () => register({ instanceId: 'b' }), ['a', 'b']],
    ['on a patch', (call) => call.patch('/instances/a').send({ status: 'error' }), ['a']],
    ['on a change that a heartbeat brings', (call) => call.post('/instances/a/heartbeat').send({ customState: 'full' }), ['a']],
    ['on a removal', (call) => call.delete('/instances/a'), []],
    ['on another incarnation', () => register({ incarnation: 'life-2' }), ['a']],
    ['when one moves in', (call) => call.post('/instances').send(registration({ instanceId: 'mover' })), ['a', 'mover']],
    ['when one moves out', () => register({ group: 'eu-1' }), []],
  ];

  test.each(causes)('%s, with the new content and its tag', async (_what, wake, ids) => {
    await register().expect(201);
    await register({ instanceId: 'mover', group: 'eu-2' }).expect(201);
    const tag = await tagOf();
    const answer = poll(tag, 10);
    await waiting(1);
    await wake(gateway().call);
    const { status, ms, etag, applied, ids: found } = await answer;
    expect([status, found, applied]).toEqual([200, ids, 'wait=10']);
    expect(etag).toBe(await tagOf());
    expect(etag).not.toBe(tag);
    expect(ms).toBeLessThan(3000);
  });

  test('when a lease ends, within 200 ms of its end, and when a heartbeat then comes after all', async () => {
    const { body } = await register({ ttlSeconds: 1 }).expect(201);
    const ended = Number(/\.(\d+)-/.exec(body.revision as string)?.[1]) + 1000;
    const gone = await poll(await tagOf(), 10);
    expect([gone.status, gone.ids]).toEqual([200, []]);
    expect(Date.now() - ended).toBeLessThan(200); // the test's Redis and this process share a clock
    const back = poll(gone.etag as string, 10);
    await waiting(1);
    await gateway().call.post('/instances/a/heartbeat').expect(200);
    expect(await back).toMatchObject({ status: 200, ids: ['a'] });
  });

  test('at once when the content is another already, and without a tag it is no long poll', async () => {
    await register().expect(201);
    expect(await poll('W/"old"', 10)).toMatchObject({ status: 200, applied: 'wait=10' });
    const from = performance.now();
    const { headers } = await gateway().call.get(KR).set('Prefer', 'wait=10').expect(200);
    expect([headers['preference-applied'], performance.now() - from < 1000]).toEqual([undefined, true]);
  });

  test('with * once the content is another than at first', async () => {
    const answer = poll('*', 10);
    await waiting(1);
    await register().expect(201);
    expect(await answer).toMatchObject({ status: 200, ids: ['a'] });
  });

  test('with a filter on what the filter lets through, and without a group on any', async () => {
    await register().expect(201);
    const [errors, all] = [`${KR}&status=error`, '/instances'];
    const filtered = poll(await tagOf(errors), 10, { path: errors });
    const wide = poll(await tagOf(all), 10, { path: all });
    await waiting(2);
    await register({ instanceId: 'chat-1', type: 'chat' }).expect(201);
    expect((await wide).ids).toEqual(['chat-1', 'a']);
    await register({ instanceId: 'b' }).expect(201);
    await waiting(1); // not its status
    await gateway().call.patch('/instances/b').send({ status: 'error' }).expect(200);
    expect((await filtered).ids).toEqual(['b']);
  });
});

describe('a long poll sleeps', () => {
  test('through heartbeats, performance and other groups, and is 304 between 0.9 N and N seconds', async () => {
    const { call } = gateway();
    await register().expect(201);
    const tag = await tagOf();
    const answer = poll(tag, 2);
    await waiting(1);
    for (let i = 0; i < 8; i++) {
      await call.post('/instances/a/heartbeat').send({ performance: { i } }).expect(200);
      await register({ instanceId: `other-${i}`, group: 'eu-1' }).expect(201);
    }
    const { status, ms, etag, applied } = await answer;
    expect([status, etag, applied]).toEqual([304, tag, 'wait=2']);
    expect(ms).toBeGreaterThan(1790);
    expect(ms).toBeLessThan(2250);
    await waiting(0);
  });

  test('for times that are spread, so that many do not come back together', async () => {
    await register().expect(201);
    const tag = await tagOf();
    const times = (await Promise.all(Array.from({ length: 40 }, () => poll(tag, 2)))).map(({ ms }) => ms);
    expect(Math.min(...times)).toBeGreaterThan(1790);
    expect(Math.max(...times) - Math.min(...times)).toBeGreaterThan(60);
  });

  test('only while its caller is there: who goes leaves nothing waiting', async () => {
    await register().expect(201);
    const tag = await tagOf();
    const goers = Array.from({ length: 20 }, () => new AbortController());
    const callers = goers.map(({ signal }) => poll(tag, 30, { signal }).catch(() => 'gone'));
    await waiting(20);
    for (const goer of goers) goer.abort();
    expect(new Set(await Promise.all(callers))).toEqual(new Set(['gone']));
    await waiting(0);
  });
});

describe('Prefer', () => {
  const forms: [header: string, applied: string | undefined][] = [
    ['wait=0', 'wait=0'],
    ['WAIT=0', 'wait=0'],
    ['wait="0"', 'wait=0'],
    ['wait = 0', 'wait=0'],
    ['wait=0; foo=bar', 'wait=0'],
    ['respond-async, wait=0', 'wait=0'],
    ['return=minimal; foo="some parameter", wait=0', 'wait=0'],
    ['foo="a, wait=soon", wait=0', 'wait=0'],
    ['wait=0, wait=9', 'wait=0'],
    ['respond-async', undefined],
    ['waiting=soon', undefined],
    ['return=representation', undefined],
    ['', undefined],
  ];

  test.each(forms)('%j is applied as %j', async (prefer, applied) => {
    await register().expect(201);
    const answer = await poll(await tagOf(), prefer);
    expect(answer).toMatchObject({ status: 304, applied });
    expect(answer.ms).toBeLessThan(1000);
  });

  test.each(['wait', 'wait=', 'wait=soon', 'wait=-1', 'wait=1.5', 'wait=1e1', 'wait="1 2"', 'respond-async, wait=x'])('%j is refused, naming Prefer', async (prefer) => {
    expectProblem(await gateway().call.get(KR).set('Prefer', prefer), 400, 'invalid_request', 'Prefer');
    expectProblem(await gateway().call.get(KR).set('Prefer', prefer).set('If-None-Match', '*'), 400, 'invalid_request', 'Prefer');
  });

  test.each(['wait=61', 'wait=600', 'wait=999999999'])('%s is 60, and the answer says so', async (prefer) => {
    await register().expect(201);
    const answer = poll(await tagOf(), prefer);
    await waiting(1);
    await gateway().call.delete('/instances/a').expect(204);
    expect(await answer).toMatchObject({ status: 200, applied: 'wait=60' });
  });
});

describe('many', () => {
  test('500 who wait for one group are all answered by one change, and those of another group are not', async () => {
    await register().expect(201);
    const agent = new Agent({ keepAlive: true });
    onTestFinished(() => agent.destroy());
    const ask = (path: string, tag: string) => send(agent, urlOf(gateway(), path), 'GET', undefined, { 'if-none-match': tag, prefer: 'wait=8' });
    const tag = await tagOf();
    const answers = Array.from({ length: 500 }, () => ask(KR, tag));
    const elsewhere = '/instances?type=game&group=eu-1';
    const other = ask(elsewhere, await tagOf(elsewhere));
    await waiting(501);
    const from = performance.now();
    await gateway().call.patch('/instances/a').send({ customState: 'wake' }).expect(200);
    const bodies = (await Promise.all(answers)).map(({ status, body }) => `${status} ${body}`);
    expect(performance.now() - from).toBeLessThan(2000);
    expect(new Set(bodies).size).toBe(1);
    expect(bodies[0]).toMatch(/^200 .*"customState":"wake"/);
    await waiting(1);
    await register({ instanceId: 'b', group: 'eu-1' }).expect(201);
    expect((await other).status).toBe(200);
  });
});

describe('a replica that shuts down', () => {
  test('answers all who wait at once', async () => {
    const own = await buildGateway();
    await own.call.post('/instances').send(registration()).expect(201);
    const tag = (await own.call.get(KR)).headers.etag as string;
    const answers = Array.from({ length: 30 }, () => poll(tag, 30, { on: own }));
    await waiting(30, own);
    const from = performance.now();
    const closed = own.app.close();
    expect(new Set((await Promise.all(answers)).map(({ status, etag }) => `${status} ${etag}`))).toEqual(new Set([`304 ${tag}`]));
    await closed;
    expect(performance.now() - from).toBeLessThan(2000);
  });
});
