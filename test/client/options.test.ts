import { expect, test } from 'vitest';
import { catalog, createClient, type ClientOptions } from '../../src/client/index.js';

const refusal = (options: object) => {
  try {
    createClient(options);
    return 'it was taken';
  } catch (error) {
    const { code, message } = error as { code: string; message: string };
    return `${code} ${message}`;
  }
};
const RIGHT = { baseURL: 'http://127.0.0.1:3000' };

test.each([
  [{}, 'baseURL must be given, here or as ROLLCALL_URL, such as http://127.0.0.1:3000'],
  [{ baseURL: 'gateway:3000' }, 'baseURL must be http:// or https://, without a query, not "gateway:3000"'],
  [{ baseURL: 'nonsense' }, 'baseURL must be a URL such as http://127.0.0.1:3000, not "nonsense"'],
  [{ baseURL: ['http://a', 'http://b?x=1'] }, 'baseURL must be http:// or https://, without a query, not "http://b?x=1"'],
  [{ baseURL: 'http://user:secret@a' }, 'baseURL must be without a name and password: the token goes into apiToken'],
  [{ ...RIGHT, mode: 'tcp' }, `mode must be 'http' or 'redis', not "tcp"`],
  [{ mode: 'redis' }, 'redisUrl must be given in mode redis, here or as REDIS_URL'],
  [{ ...RIGHT, apiToken: 'with space' }, 'apiToken must be a token: printable ASCII without spaces'],
  [{ ...RIGHT, ttlSeconds: 1.5 }, 'ttlSeconds must be a whole number from 1 to 86400, not 1.5'],
  [{ ...RIGHT, heartbeatIntervalMs: 0 }, 'heartbeatIntervalMs must be a whole number from 100 to 3600000, not 0'],
  [{ ...RIGHT, timeoutMs: '5' }, 'timeoutMs must be a whole number from 100 to 600000, not "5"'],
  [{ ...RIGHT, log: {} }, 'log must be a logger with info and warn, such as pino'],
  [{ ...RIGHT, baseUrl: 'http://a' }, 'baseUrl must be one of mode, baseURL, apiToken, ttlSeconds, heartbeatIntervalMs, timeoutMs, keyPrefix, redisUrl, log, fetch'],
])('%j is refused, and the option named', (options, expected) => {
  const { ROLLCALL_URL, REDIS_URL } = process.env;
  delete process.env.ROLLCALL_URL;
  delete process.env.REDIS_URL;
  expect(refusal(options)).toBe(`invalid_request createClient: ${expected}`);
  Object.assign(process.env, { ...(ROLLCALL_URL && { ROLLCALL_URL }), ...(REDIS_URL && { REDIS_URL }) });
});

test('an address with /sd/v1 or slashes behind it is the same address', () => {
  const urls = (baseURL: ClientOptions['baseURL']) => createClient({ ...(baseURL && { baseURL }) }).settings.baseURLs;
  expect(urls(['http://a/', 'http://b/sd/v1', 'https://c/behind/a/path/sd/v1/'])).toEqual(['http://a', 'http://b', 'https://c/behind/a/path']);
  process.env.ROLLCALL_URL = 'http://a, http://b';
  expect(urls(undefined)).toEqual(['http://a', 'http://b']);
  delete process.env.ROLLCALL_URL;
});

test.each([
  [{}, 'catalog: type must be given'],
  [{ type: 'game', strategy: 'best' }, 'catalog: strategy must be one of round-robin, random, weighted, least-load, two-choices, hash'],
  [{ type: 'game', fallbackGroups: ['kr-2'] }, 'catalog: fallbackGroups needs group'],
])('a catalog with %j is refused', (options, expected) => {
  expect(() => catalog(options as never, createClient(RIGHT))).toThrow(expected);
});
