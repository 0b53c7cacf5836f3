import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { Redis } from 'ioredis';
import { expect, inject, onTestFinished, test } from 'vitest';
import { mintId } from '../../src/registry/ids.js';
import { heartbeatIntervalMs, leaseEndMs } from '../../src/registry/lease.js';
import { completeRegistration, plainAddress } from '../../src/registry/registration.js';
import { laterRevision } from '../../src/registry/revision.js';
import { inScope } from '../../src/registry/scope.js';

const include = (name: string) => readFileSync(new URL(`../../lua/include/${name}.lua`, import.meta.url), 'utf8');

test('TypeScript and Lua agree when a lease ends, and a group that is held keeps it until then', async () => {
  const redis = new Redis(inject('redisUrl'));
  onTestFinished(() => redis.disconnect());
  const [alive, grace, holds, epoch] = ['alive', 'grace', 'holds', 'epoch'].map((name) => `end-${process.pid}:${name}`) as [string, string, string, string];
  onTestFinished(() => void redis.del(alive, grace, holds, epoch));
  const script = `local ALIVE, GRACE, HOLDS, EPOCH, now = KEYS[1], KEYS[2], KEYS[3], KEYS[4], tonumber(ARGV[3])
${include('hold')}\n${include('grace')}
return string.format('%.0f', lease_end(tonumber(ARGV[1]), tonumber(ARGV[2]), 'game:kr-1'))`;
  const ms = fc.integer({ min: 0, max: 4_000_000_000_000 });
  const hold = fc.option(fc.record({ untilMs: ms, state: fc.constantFrom('held', 'released') }));
  await fc.assert(
    fc.asyncProperty(ms, fc.oneof(fc.integer({ min: 0, max: 3_600_000 }), fc.integer({ min: 8990, max: 9010 })), fc.oneof(fc.constant(0), ms), fc.oneof(fc.constant(0), ms), hold, async (scoreMs, ttlMs, graceFromMs, lullFromMs, held) => {
      await redis.multi().mset(alive, 5000, grace, graceFromMs).hset(epoch, { lull: lullFromMs }).del(holds).exec();
      if (held) await redis.hset(holds, 'game:kr-1', `1 ${held.untilMs} 4000000000001 5 9 ${held.state}`);
      const end = await redis.eval(script, 4, alive, grace, holds, epoch, scoreMs, ttlMs, 5000);
      const untilMs = held?.state === 'held' ? held.untilMs : 0;
      expect(Number(end)).toBe(Math.max(leaseEndMs({ scoreMs, ttlMs, graceFromMs, lullFromMs }), untilMs));
    }),
    { numRuns: 200 },
  );
});

test.each([
  { ttlMs: 30_000, configuredMs: 10_000, every: 10_000 },
  { ttlMs: 9000, configuredMs: 10_000, every: 3000 },
  { ttlMs: 1000, configuredMs: 10_000, every: 333 },
  { ttlMs: 3_600_000, configuredMs: 500, every: 500 },
])('a lease of $ttlMs ms is renewed every $every ms: at most a third of it', ({ ttlMs, configuredMs, every }) => {
  expect(heartbeatIntervalMs(ttlMs, configuredMs)).toBe(every);
});

test.each([
  ['e.5-1', 'e.5-2', 'e.5-2'],
  ['e.5-10', 'e.5-9', 'e.5-10'],
  ['e.10-0', 'e.9-9', 'e.10-0'],
  ['e.5-1', 'e.5-1', 'e.5-1'],
  ['old.9-9', 'new.1-1', 'new.1-1'],
])('of %s and %s the later is %s', (one, other, later) => expect(laterRevision(one, other)).toBe(later));

test.each([
  { scope: undefined, allowed: true },
  { scope: {}, allowed: true },
  { scope: { types: ['game'] }, allowed: true },
  { scope: { types: ['chat', 'ga*'] }, allowed: true },
  { scope: { types: ['game'], groups: ['us-*'] }, allowed: false },
  { scope: { groups: ['kr-1'] }, allowed: true },
  { scope: { groups: ['kr.1'] }, allowed: false },
  { scope: { types: ['am'] }, allowed: false },
  { scope: { types: [] }, allowed: false },
])('game in kr-1 is within $scope: $allowed', ({ scope, allowed }) => expect(inScope(scope, { type: 'game', group: 'kr-1' })).toBe(allowed));

test('ids are ULIDs, each greater than the one before', () => {
  const ids = Array.from({ length: 5000 }, mintId);
  expect(ids.every((id) => /^[0-7][0-9A-HJKMNP-TV-Z]{25}$/.test(id))).toBe(true);
  expect(ids).toEqual([...new Set(ids)].sort());
});

const LEASE = { defaultSeconds: 30, minSeconds: 2, maxSeconds: 60 };
const minimal = { type: 'game', hostname: 'h' };
const complete = (fields: object, observed?: string) => completeRegistration({ ...minimal, ...fields }, LEASE, observed);

test('what a caller leaves open is filled', () => {
  expect(complete({})).toMatchObject({ group: 'default', status: 'ready', ports: [], ttlSeconds: 30, instanceId: expect.any(String), incarnation: expect.any(String) });
  expect(complete({ ports: [80, { port: 53, protocol: 'udp' }] }).ports).toEqual([{ port: 80, protocol: 'tcp' }, { port: 53, protocol: 'udp' }]);
});

test.each([
  { observed: '10.0.0.7', fields: {}, filled: { privateIp: '10.0.0.7' } },
  { observed: '::ffff:10.0.0.7', fields: {}, filled: { privateIp: expect.stringContaining('10.0.0.7') as string } },
  { observed: 'fd00::1', fields: {}, filled: { privateIp: 'fd00::1' } },
  { observed: '203.0.113.9', fields: {}, filled: { publicIp: '203.0.113.9' } },
  { observed: '10.0.0.7', fields: { privateIp: '10.9.9.9' }, filled: { privateIp: '10.9.9.9' } },
  { observed: '203.0.113.9', fields: { privateIp: '10.9.9.9' }, filled: { publicIp: '203.0.113.9', privateIp: '10.9.9.9' } },
  { observed: undefined, fields: { publicIp: '::ffff:198.51.100.2' }, filled: { publicIp: '198.51.100.2' } },
])('seen from $observed with $fields, the addresses are $filled', ({ observed, fields, filled }) => {
  const { publicIp, privateIp } = complete(fields, observed);
  expect({ ...(publicIp && { publicIp }), ...(privateIp && { privateIp }) }).toEqual(filled);
});

test('an address is written in its plain form', () => expect(plainAddress('::ffff:192.0.2.1')).toBe('192.0.2.1'));

test.each([
  { fields: { ttlSeconds: 1 }, pointer: '/ttlSeconds' },
  { fields: { ttlSeconds: 61 }, pointer: '/ttlSeconds' },
  { fields: { ports: [{ port: 1, name: 'a' }, { port: 2, name: 'a' }] }, pointer: '/ports/1/name' },
])('$fields is refused at $pointer', ({ fields, pointer }) => {
  expect(() => complete(fields)).toThrow(expect.objectContaining({ code: 'invalid_request', details: { errors: [expect.objectContaining({ pointer })] } }) as Error);
});
