import type { AddressInfo } from 'node:net';
import { beforeAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { badInput as rows, expand, type BadInput as Row } from '../helpers/bad-input.js';
import { buildGateway, registration, TOKEN } from '../helpers/gateway.js';
import { keyspace } from '../helpers/keyspace.js';
import { expectProblem } from '../helpers/problem.js';
import { exchange } from '../helpers/raw-http.js';
import { startRedis } from '../helpers/redis.js';
import { emptyRegistry } from '../helpers/shared-gateway.js';

const named = (choose: (row: Row) => boolean) => rows.filter(choose).map((row) => [row.name, row.status, row] as const);

function bytesOf(row: Row): string {
  const given = row.with ? registration(row.with) : row.body;
  const body = row.raw ?? (given === undefined ? undefined : JSON.stringify(given));
  const payload = body === undefined ? undefined : expand(body);
  const chunked = row.headers?.['transfer-encoding'] === 'chunked';
  const length = row.contentLength ?? (payload === undefined || chunked ? undefined : Buffer.byteLength(payload));
  const headers: Record<string, string | null> = {
    host: 'gateway.example.com',
    connection: 'close',
    // From an address of its own: too many wrong tokens from one would be 429.
    'x-forwarded-for': `198.51.100.${1 + (rows.indexOf(row) % 250)}`,
    'x-api-token': TOKEN,
    ...((payload !== undefined || row.contentLength) && { 'content-type': 'application/json' }),
    ...(length !== undefined && { 'content-length': String(length) }),
    ...row.headers,
  };
  const lines = Object.entries(headers).flatMap(([name, value]) => (value === null ? [] : [`${name}: ${expand(value)}\r\n`]));
  const chunks = payload ? `${Buffer.byteLength(payload).toString(16)}\r\n${payload}\r\n0\r\n\r\n` : '0\r\n\r\n';
  return `${row.method} ${expand(row.path)} HTTP/1.1\r\n${lines.join('')}\r\n${chunked ? chunks : (payload ?? '')}`;
}

type Gateway = Awaited<ReturnType<typeof buildGateway>>;
let gateway: Gateway;
let port: number;
/** What the pulse of the gateway writes by itself, and beats: a refused request may come across them. */
let passing: string[];

beforeAll(async () => {
  const closers: (() => Promise<void>)[] = [];
  const redis = await startRedis();
  closers.push(redis.stop);
  gateway = await buildGateway({ redisUrl: redis.url, trustProxy: ['127.0.0.1'], cleanup: (close) => closers.push(close) });
  port = (gateway.app.server.address() as AddressInfo).port;
  const { alive, epoch, grace, swept, beats } = gateway.keys;
  passing = [alive, epoch, grace, swept, beats];
  return async () => {
    for (const close of closers.reverse()) await close();
  };
});

const thirtyTwo = Object.fromEntries(Array.from({ length: 32 }, (_, i) => [`k${i}`, 'v']));

/** One instance with as many labels as there may be, and one that has been removed. */
beforeEach(async () => {
  await emptyRegistry(gateway);
  const { call } = gateway;
  await call.post('/instances').send(registration({ instanceId: 'live-1', incarnation: 'first-1', labels: thirtyTwo })).expect(201);
  await call.post('/instances').send(registration({ instanceId: 'gone-1' })).expect(201);
  await call.delete('/instances/gone-1').expect(204);
});

const look = () => keyspace(gateway.raw, passing);
const expectAlive = async () => expect((await exchange(port, 'GET /livez HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n')).status).toBe(200);

describe('a wrong request is refused and writes nothing', () => {
  test.each(named((row) => !row.accepted))('%s: %i', async (_name, _status, row) => {
    const before = await look();
    const answer = await exchange(port, bytesOf(row));
    expectProblem(answer, row.status, row.code ?? '', row.pointer === undefined ? undefined : expand(row.pointer));
    if (row.detail !== undefined) expect(answer.body).toMatchObject({ errors: [{ pointer: row.pointer, detail: row.detail }] });
    expect(await look()).toEqual(before);
    await expectAlive();
  });
});

describe('what only looks wrong is accepted', () => {
  test.each(named((row) => row.accepted === true))('%s: %i', async (_name, _status, row) => {
    expect(await exchange(port, bytesOf(row))).toMatchObject({ status: row.status });
  });
});

const TLS_HELLO = Buffer.from('16030100c8010000c403035f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f', 'hex');
const head = (line: string, ...headers: string[]) => [line, ...headers, '', ''].join('\r\n');
const WITH_TOKEN = `x-api-token: ${TOKEN}`;
const JSON_TYPE = 'content-type: application/json';
const GET = 'GET /sd/v1/instances HTTP/1.1';
const POST = 'POST /sd/v1/instances HTTP/1.1';

const notUtf8 = Buffer.concat([Buffer.from('{"type":"game","hostname":"h","customState":"'), Buffer.from([0xc3, 0x28, 0xff]), Buffer.from('"}')]);

/** Name, bytes, status, and the code unless it is invalid_request. */
const garbage: [name: string, bytes: string | Buffer, status: number, code?: string][] = [
  ['bytes that are no HTTP', 'hello there\r\n\r\n', 400],
  ['binary noise', Buffer.from([0, 255, 254, 1, 13, 10, 13, 10]), 400],
  ['a TLS hello', TLS_HELLO, 400],
  ['the preface of HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 400],
  ['a version that is not spoken', head('GET / HTTP/9.9', 'host: x'), 400],
  ['a method that does not exist', head('FETCH /livez HTTP/1.1', 'host: x'), 400],
  ['no Host', head(GET, WITH_TOKEN), 400],
  ['two Hosts', head(GET, 'host: x', 'host: y', WITH_TOKEN), 400],
  ['a blank in the URL', head('GET /sd/v1/instances?type=a b HTTP/1.1', 'host: x', WITH_TOKEN), 400],
  ['bare UTF-8 in the URL', Buffer.from(head('GET /sd/v1/instances/é HTTP/1.1', 'host: x', WITH_TOKEN)), 400],
  ['a NUL in a header', head(GET, 'host: x', 'x-note: a\0b', WITH_TOKEN), 400],
  ['a header without a colon', head(GET, 'host: x', 'nonsense', WITH_TOKEN), 400],
  ['a blank before the colon', head(GET, 'host: x', 'x-note : a', WITH_TOKEN), 400],
  ['a Content-Length that is no number', `${head(POST, 'host: x', WITH_TOKEN, JSON_TYPE, 'content-length: abc')}{}`, 400],
  ['a negative Content-Length', `${head(POST, 'host: x', WITH_TOKEN, JSON_TYPE, 'content-length: -1')}{}`, 400],
  ['two Content-Lengths', `${head(POST, 'host: x', WITH_TOKEN, JSON_TYPE, 'content-length: 2', 'content-length: 3')}{}`, 400],
  ['Content-Length and Transfer-Encoding', `${head(POST, 'host: x', WITH_TOKEN, JSON_TYPE, 'content-length: 2', 'transfer-encoding: chunked')}0\r\n\r\n`, 400],
  ['a chunk size that is no number', `${head(POST, 'host: x', WITH_TOKEN, JSON_TYPE, 'transfer-encoding: chunked')}zz\r\n`, 400],
  ['a body longer than its Content-Length', `${head(POST, 'host: x', WITH_TOKEN, JSON_TYPE, 'content-length: 9')}${JSON.stringify(registration())}`, 400],
  ['a body that is not UTF-8', Buffer.concat([Buffer.from(head(POST, 'host: x', WITH_TOKEN, JSON_TYPE, `content-length: ${notUtf8.length}`)), notUtf8]), 400],
  ['headers over 8 KiB', head(GET, 'host: x', `x-note: ${'n'.repeat(9000)}`, WITH_TOKEN), 431, 'payload_too_large'],
  ['many headers over 8 KiB together', head(GET, 'host: x', ...Array.from({ length: 500 }, (_, i) => `x-note-${i}: 0123456789`)), 431, 'payload_too_large'],
  ['a URL over 8 KiB', head(`GET /sd/v1/instances?type=${'a'.repeat(9000)} HTTP/1.1`, 'host: x', WITH_TOKEN), 431, 'payload_too_large'],
  ['CONNECT, as to a proxy', head('CONNECT example.com:443 HTTP/1.1', 'host: example.com:443'), 405, 'method_not_allowed'],
  ['CONNECT to a route', head('CONNECT /sd/v1/instances HTTP/1.1', 'host: x', WITH_TOKEN), 405, 'method_not_allowed'],
  ['an expectation nobody meets', head(POST, 'host: x', WITH_TOKEN, JSON_TYPE, 'expect: foo', 'content-length: 2'), 417],
];

describe('what no client would send is refused at the socket', () => {
  test.each(garbage)('%s', async (_name, bytes, status, code = 'invalid_request') => {
    const before = await look();
    expectProblem(await exchange(port, bytes), status, code);
    expect(await look()).toEqual(before);
    await expectAlive();
  });

  test('a body that ends before its Content-Length', async () => {
    const before = await look();
    const bytes = `${head(POST, 'host: x', WITH_TOKEN, JSON_TYPE, 'content-length: 500')}{"type":"game","hostname":"h"}`;
    expectProblem(await exchange(port, bytes, { end: true }), 400, 'invalid_request');
    expect(await look()).toEqual(before);
    await expectAlive();
  });

  test('a body that never comes whole is 408 once the time for a request is over', async () => {
    const { server } = gateway.app;
    const { requestTimeout, headersTimeout } = server;
    onTestFinished(() => void Object.assign(server, { requestTimeout, headersTimeout }));
    expect([requestTimeout, headersTimeout]).toEqual([10_000, 5000]);
    Object.assign(server, { requestTimeout: 300, headersTimeout: 300 });
    const before = await look();
    expectProblem(await exchange(port, `${head(POST, 'host: x', WITH_TOKEN, JSON_TYPE, 'content-length: 500')}{"type":`), 408, 'invalid_request');
    expect(await look()).toEqual(before);
  });
});
