import { expect, test } from 'vitest';
import { describeTarget, parseRedisUrl, type RedisTarget } from '../../src/redis/connect/url.js';

const node = (host: string, port: number) => ({ host, port });
const GOOD: [url: string, target: RedisTarget][] = [
  ['redis://localhost', { kind: 'single', nodes: [node('localhost', 6379)], db: 0, tls: false }],
  ['redis://10.0.0.1:7000/3', { kind: 'single', nodes: [node('10.0.0.1', 7000)], db: 3, tls: false }],
  ['redis://h/', { kind: 'single', nodes: [node('h', 6379)], db: 0, tls: false }],
  ['redis://[::1]:7000', { kind: 'single', nodes: [node('::1', 7000)], db: 0, tls: false }],
  ['rediss://user:p%40ss%3A%2F@h:1', { kind: 'single', nodes: [node('h', 1)], db: 0, tls: true, username: 'user', password: 'p@ss:/' }],
  ['redis://:secret@h', { kind: 'single', nodes: [node('h', 6379)], db: 0, tls: false, password: 'secret' }],
  ['redis+sentinel://a:1,b/main', { kind: 'sentinel', nodes: [node('a', 1), node('b', 26_379)], name: 'main', db: 0, tls: false }],
  ['rediss+sentinel://u:p@a/main', { kind: 'sentinel', nodes: [node('a', 26_379)], name: 'main', db: 0, tls: true, username: 'u', password: 'p' }],
  ['redis+cluster://a:7001,[fd00::2]:7002', { kind: 'cluster', nodes: [node('a', 7001), node('fd00::2', 7002)], db: 0, tls: false }],
  ['rediss+cluster://a', { kind: 'cluster', nodes: [node('a', 6379)], db: 0, tls: true }],
];
test.each(GOOD)('%s is understood', (url, target) => expect(parseRedisUrl(url)).toEqual(target));

const BAD: [url: string, why: RegExp][] = [
  ['', /must look like/],
  ['localhost:6379', /must look like/],
  ['http://h', /must look like/],
  ['redis://', /must look like/],
  ['redis://u:p4ss@w0rd@h', /percent-encode/],
  ['redis://:p@ss/word@h', /percent-encode/],
  ['redis://:pass#word@h:1/0', /percent-encode/],
  ['redis://:pa?ss@h', /percent-encode/],
  ['redis://h?x=1', /must look like/],
  ['redis://h:99999', /bad host or port: 'h:99999'/],
  ['redis://h:0', /bad host or port/],
  ['redis://h:x', /bad host or port/],
  ['redis://h/notanumber', /database that is not a number/],
  ['redis://a,b', /several hosts/],
  ['redis+sentinel://a,b', /primary's name/],
  ['redis+cluster://a/2', /database, which Cluster does not have/],
  ['redis+cluster://a,,b', /bad host or port: ''/],
];
test.each(BAD)("'%s' is refused, saying why", (url, why) => expect(() => parseRedisUrl(url)).toThrow(why));

test.each(['redis://u:hunter2@h:x', 'redis://u:hunter2@h/q', 'http://u:hunter2@h', 'redis://u:hunter2@a,b', 'redis://u:hunter2%zz@h', 'redis://:x@hunter2/y@h', 'redis://:hunter2/word@h'])(
  'a refusal of %s does not repeat the password',
  (url) => {
    let message = '';
    try {
      parseRedisUrl(url);
    } catch (error) {
      message = (error as Error).message;
    }
    expect(message).not.toBe('');
    expect(message).not.toContain('hunter2');
  },
);

test('a target is described without its password', () => {
  expect(describeTarget(parseRedisUrl('redis+sentinel://u:hunter2@a:1,b:2/main'))).toBe('a:1,b:2/main');
});
