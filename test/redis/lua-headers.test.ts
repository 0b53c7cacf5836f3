import { readdirSync, readFileSync } from 'node:fs';
import fc from 'fast-check';
import { Redis } from 'ioredis';
import { expect, inject, onTestFinished, test } from 'vitest';
import { VERBS } from '../../src/redis/scripts/scripts.js';

const FOLDER = new URL('../../lua/', import.meta.url);
const read = (path: string) => readFileSync(new URL(path, FOLDER), 'utf8');
const files = readdirSync(FOLDER).filter((name) => name.endsWith('.lua'));
const FLAGS: Record<string, string> = {
  register: '', patch: '', heartbeat: ' flags=allow-oom', remove: ' flags=allow-oom', sweep: ' flags=allow-oom',
  renew: ' flags=allow-oom', unlock: ' flags=allow-oom', lock: '', reconcile: ' flags=allow-oom', pulse: ' flags=allow-oom', claim: ' flags=allow-oom', restore: '', release: ' flags=allow-oom', load: ' flags=no-writes', look: ' flags=no-writes',
};

test('every verb is one file, and every file is a verb', () => {
  expect(files.sort()).toEqual(VERBS.map((verb) => `${verb}.lua`).sort());
});

test.each(files)('%s says what it is for, what it takes, replies and tells, in order', (file) => {
  const header = read(file).split('\n-- @include')[0] as string;
  const lines = header.split('\n');
  expect(lines[0]).toBe(`#!lua${FLAGS[file.replace('.lua', '')]}`);
  expect(lines.slice(1).every((line) => line.startsWith('--')), 'a header of comments').toBe(true);
  expect(lines[1]).toMatch(/^-- [A-Z].{20,}/);
  const places = ['-- ARGV', '-- Reply', '-- Events'].map((word) => lines.findIndex((line) => line.startsWith(word)));
  expect(places.every((place) => place > 1)).toBe(true);
  expect(places).toEqual([...places].sort((a, b) => a - b));
});

test.each(files)('%s includes only files that exist, the keys first', (file) => {
  const names = [...read(file).matchAll(/^-- @include (\w+)$/gm)].map(([, name]) => name as string);
  expect(names[0]).toBe(['lock', 'renew', 'unlock'].includes(file.replace('.lua', '')) ? 'lockkeys' : 'keys');
  expect(readdirSync(new URL('include/', FOLDER))).toEqual(expect.arrayContaining(names.map((name) => `${name}.lua`)));
  expect(new Set(names).size).toBe(names.length);
});

test.each(files)('%s writes only if its flags allow it, and takes its time from Redis', (file) => {
  const source = read(file);
  const writes = /redis\.p?call\('(HSET|HDEL|DEL|SET|SADD|SREM|ZADD|ZREM|XADD|PEXPIRE)'/.test(source) || /\b(append|write_\w+|witness|forget)\(/.test(source);
  if (source.startsWith('#!lua flags=no-writes')) expect(writes).toBe(false);
  expect(source).not.toMatch(/os\.time|os\.clock|math\.random/);
});

const script = `${read('include/clock.lua')}\nlocal out = {}\nfor i, ms in ipairs(ARGV) do out[i] = iso(tonumber(ms)) end\nreturn out`;
const EDGES = [
  '1970-01-01T00:00:00.000Z', '1999-12-31T23:59:59.999Z', '2000-02-29T12:00:00.001Z', '2000-03-01T00:00:00.000Z', '2023-02-28T23:59:59.999Z',
  '2024-02-29T00:00:00.000Z', '2024-03-01T00:00:00.000Z', '2024-12-31T23:59:59.999Z', '2026-01-31T01:02:03.045Z', '2038-01-19T03:14:08.000Z',
  '2100-02-28T23:59:59.999Z', '2100-03-01T00:00:00.000Z', '2400-02-29T06:07:08.009Z',
];

test('dates made in Lua are those that JavaScript makes', async () => {
  const redis = new Redis(inject('redisUrl'));
  onTestFinished(() => redis.disconnect());
  const iso = async (instants: number[]) => (await redis.eval(script, 0, ...instants)) as string[];
  expect(await iso(EDGES.map((text) => Date.parse(text)))).toEqual(EDGES);
  const instant = fc.integer({ min: 0, max: Date.parse('2500-01-01') });
  await fc.assert(
    fc.asyncProperty(fc.array(instant, { minLength: 100, maxLength: 100, size: 'max' }), async (instants) => {
      expect(await iso(instants)).toEqual(instants.map((ms) => new Date(ms).toISOString()));
    }),
    { numRuns: 50 },
  );
});
