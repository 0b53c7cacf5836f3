import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect, onTestFinished, test } from 'vitest';
import { freePort } from '../helpers/ports.js';
import { until } from '../helpers/until.js';
import { clientOf } from './helpers.js';

/** A server that answers as it is told; each call is noted by its method and path. */
async function answering(answer: RequestListener) {
  const calls: string[] = [];
  const server = createServer((request, response) => {
    calls.push(`${request.method} ${request.url}`);
    answer(request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return { calls, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` };
}

const found = '{"instanceId":"a"}';
const good: RequestListener = (_, response) => void response.setHeader('content-type', 'application/json').end(found);
const problem = (status: number, code: string, headers: Record<string, string> = {}): RequestListener => (_, response) =>
  void response.writeHead(status, { 'content-type': 'application/problem+json', ...headers }).end(JSON.stringify({ status, code, detail: `it is ${code}`, requestId: 'r-1' }));
const hanging: RequestListener = () => undefined;
const timed = async (call: Promise<unknown>) => {
  const from = performance.now();
  const said = await call.then(() => 'done', (error: { code: string; message: string }) => `${error.code}: ${error.message}`);
  return { said, ms: performance.now() - from };
};

test('a gateway that hangs, breaks off or is not there is left for the next one, within one time limit', async () => {
  const [hangs, breaks, well] = [await answering(hanging), await answering((request) => void request.socket.destroy()), await answering(good)];
  const client = clientOf({ baseURL: [hangs.url, breaks.url, `http://127.0.0.1:${await freePort()}`, well.url], timeoutMs: 4000 });
  const { said, ms } = await timed(client.get('a'));
  expect(said).toBe('done');
  expect(ms).toBeLessThan(4000);
  await client.get('a');
  expect(hangs.calls).toHaveLength(1); // it stays with the one that answered
  expect(well.calls).toHaveLength(2);
});

test('when nobody answers a call ends at its time limit, and says who did not', async () => {
  const { url } = await answering(hanging);
  const { said, ms } = await timed(clientOf({ baseURL: url, timeoutMs: 600 }).get('a'));
  expect(said).toMatch(new RegExp(`^unreachable: no answer from ${url} \\(.+\\): is the gateway running there\\?$`));
  expect(ms).toBeGreaterThan(500);
  expect(ms).toBeLessThan(1500);
});

test.each(['store_unavailable', 'overloaded', 'draining'])('%s is repeated after the time that the gateway asks for', async (code) => {
  const { calls, url } = await answering((request, response) => (calls.length < 2 ? problem(503, code, { 'retry-after': '1' }) : good)(request, response));
  const { said, ms } = await timed(clientOf({ baseURL: url }).get('a'));
  expect(said).toBe('done');
  expect(ms).toBeGreaterThan(950);
});

test.each([[400, 'invalid_request'], [401, 'unauthorized'], [403, 'forbidden'], [409, 'stale_incarnation'], [413, 'payload_too_large']])('%i is refused at once, by its code, and not repeated', async (status, code) => {
  const { calls, url } = await answering(problem(status, code));
  const error = await clientOf({ baseURL: url }).get('a').catch((reason: unknown) => reason);
  expect(error).toMatchObject({ name: 'RollcallError', code, message: `it is ${code}`, details: { status, requestId: 'r-1' } });
  expect(calls).toHaveLength(1);
});

test('a registration is repeated as itself: its ids are made once', async () => {
  const bodies: unknown[] = [];
  const { url } = await answering((request, response) => {
    let text = '';
    request.on('data', (chunk: Buffer) => (text += chunk.toString())).on('end', () => {
      bodies.push(JSON.parse(text));
      if (bodies.length === 1) return void request.socket.destroy();
      response.writeHead(201).end(JSON.stringify({ ...(bodies[1] as object), heartbeatIntervalMs: 10_000, revision: 'e.1-1' }));
    });
  });
  const { instanceId, incarnation } = await clientOf({ baseURL: url }).register({ type: 'game', hostname: 'h' });
  expect([instanceId, incarnation]).toEqual([expect.stringMatching(/^[0-9A-Z]{26}$/), expect.stringMatching(/^[0-9A-Z]{26}$/)]);
  expect(bodies).toEqual(Array.from({ length: 2 }, () => ({ type: 'game', hostname: 'h', instanceId, incarnation, ttlSeconds: 30 })));
});

/** As Node does it when it likes. */
async function collectGarbage() {
  setFlagsFromString('--expose-gc');
  for (let i = 0; i < 5; i++) {
    (runInNewContext('gc') as () => void)();
    await new Promise((passed) => setTimeout(passed, 20));
  }
}

test('a call keeps its time limit, and a watch its end, however much garbage is collected meanwhile', { timeout: 15_000 }, async () => {
  const { url } = await answering((request, response) => {
    if (request.url?.includes('/watch')) response.writeHead(200, { 'content-type': 'text/event-stream' }).write('event: snapshot\nid: e.1\ndata: {"instances":[],"revision":"e.1"}\n\n');
  });
  const client = clientOf({ baseURL: url, timeoutMs: 1000 });
  const stop = new AbortController();
  const heard: string[] = [];
  const watching = (async () => {
    for await (const { event } of client.watch({}, { signal: stop.signal })) heard.push(event);
  })();
  const call = timed(client.get('a'));
  await until(() => heard.length === 1);
  await collectGarbage();
  expect((await call).ms).toBeLessThan(3000);
  stop.abort();
  await watching;
});

test('another server than a gateway is told from one, and a token is never sent on to where it redirects', async () => {
  const page = await answering((_, response) => void response.writeHead(404, { 'content-type': 'text/html' }).end('<h1>Not here</h1>'));
  const other = await answering(good);
  const redirecting = await answering((_, response) => void response.writeHead(302, { location: other.url }).end());
  expect((await timed(clientOf({ baseURL: page.url }).get('a'))).said).toBe('route_not_found: HTTP 404, and not in the words of a Rollcall gateway: is the base URL right?');
  expect((await timed(clientOf({ baseURL: redirecting.url, timeoutMs: 500 }).get('a'))).said).toMatch(/^unreachable/);
  expect(other.calls).toEqual([]);
});
