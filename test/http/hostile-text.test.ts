import type { AddressInfo } from 'node:net';
import { expect, test } from 'vitest';
import { preferredWait } from '../../src/http/routes/conditional.js';
import { TOKEN } from '../helpers/gateway.js';
import { exchange } from '../helpers/raw-http.js';
import { sharedGateway } from '../helpers/shared-gateway.js';

const gateway = sharedGateway({ trustProxy: ['127.0.0.1'] });

/** As much as a request's headers may hold, beside what else they need. */
const LETTERS = 7900;
const fill = (part: string, before = '', after = '') => before + part.repeat(Math.floor((LETTERS - before.length - after.length) / part.length)) + after;

/** What expressions and splitters go astray on. */
const FILLINGS = [' ', '"', ';', ',', '\\', '=', '.', ':', '\t', '" ', '; ', ', ', '\\"', 'a=', 'a;', '",', ';a="'];

const HEADERS: [name: string, before: string, after: string, path: string][] = [
  ['prefer', 'wait=', '"a"b"', '/sd/v1/instances'],
  ['prefer', 'wait="', '', '/sd/v1/instances'],
  ['if-none-match', 'W/"', '"', '/sd/v1/instances'],
  ['cookie', 'rollcall_session=', '', '/sd/v1/instances'],
  ['cookie', '', 'rollcall_session', '/sd/v1/instances'],
  ['authorization', 'Bearer ', 'x', '/sd/v1/instances'],
  ['x-api-token', '', 'x', '/sd/v1/instances'],
  ['x-forwarded-for', '[', ']:1', '/sd/v1/instances'],
  ['x-forwarded-for', '', '::', '/sd/v1/instances'],
  ['x-forwarded-proto', '', 'https', '/sd/v1/session'],
  ['x-forwarded-host', '', 'x', '/sd/v1/instances'],
  ['x-request-id', '', 'x', '/sd/v1/instances'],
  ['content-type', 'application/json;', 'x', '/sd/v1/instances'],
  ['content-type', 'application/json; charset="', '', '/sd/v1/instances'],
  ['content-type', '', '/json', '/sd/v1/instances'],
  ['content-encoding', '', 'gzip', '/sd/v1/instances'],
  ['accept', '', '*/*', '/docs/static/index.html'],
  ['accept-encoding', 'gzip;q=', 'br', '/docs/static/index.html'],
  ['range', 'bytes=', '1-', '/docs/static/index.html'],
  ['if-none-match', 'W/', '"', '/docs/static/index.html'],
  ['if-modified-since', '', 'GMT', '/docs/static/index.html'],
  ['cache-control', '', 'no-cache', '/docs/static/index.html'],
  ['origin', 'https://', 'x', '/sd/v1/instances'],
];

const QUERIES = ['type', 'group', 'status', 'limit', 'after', 'healthCheck', 'include', 'minRevision', 'consistency', 'label.zone', 'nothing'];
const encoded = (text: string) => encodeURIComponent(text);

async function answered(line: string, headers: Record<string, string> = {}, body = '') {
  const { port } = gateway().app.server.address() as AddressInfo;
  const all = { host: 'x', connection: 'close', 'x-api-token': TOKEN, ...(body !== '' && { 'content-type': 'application/json', 'content-length': String(body.length) }), ...headers };
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`);
  const { status } = await exchange(port, Buffer.from(`${line} HTTP/1.1\r\n${lines.join('')}\r\n${body}`, 'latin1'));
  expect(status).toBeLessThan(500);
}

// With an expression that goes back and forth one of these takes minutes, and the whole process waits.
test.each(HEADERS)('the header %s, filled after %j before %j, costs as much as its length', async (name, before, after, path) => {
  const [method, body] = name.startsWith('content-') || path.endsWith('session') ? ['POST', '{}'] : ['GET', ''];
  for (const part of FILLINGS) await answered(`${method} ${path}`, { [name]: fill(part, before, after) }, body);
});

test('a Prefer that is 1,600 blanks long is read, or refused, as one without them', () => {
  const blanks = ' '.repeat(1600);
  expect(preferredWait(`wait=${blanks}7${blanks}`)).toBe(7);
  expect(preferredWait(`foo="${blanks}\\"", wait${blanks}=7`)).toBe(7);
  expect(() => preferredWait(`wait=${blanks}"a"b"`)).toThrow('whole number');
});

test.each(QUERIES)('the parameter %s', async (name) => {
  for (const part of FILLINGS) {
    const value = part.repeat(Math.floor(2600 / part.length));
    await answered(`GET /sd/v1/instances?${name}=${encoded(value).slice(0, LETTERS)}`);
  }
});

test('a query of nothing but signs, and a path of them', async () => {
  for (const part of ['&', '=', '?', '%20', '+', 'a&', '&a=', '/', '//', '.', '../', '%2f', ':', ';', '%25']) {
    await answered(`GET /sd/v1/instances?${fill(part)}`);
    await answered(`GET /sd/v1/instances/${fill(part)}`);
    await answered(`DELETE /sd/v1/groups/${fill(part)}/evict`);
    await answered(`GET /docs/${fill(part)}`);
    await answered(`GET /${fill(part)}`);
  }
});
