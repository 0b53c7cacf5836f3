import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { jobsPrefix, makeKeys } from '../../src/redis/scripts/keys.js';
import { homeKey } from '../../src/registry/home.js';

test('the documented keys have their documented names', () => {
  const keys = makeKeys('service:');
  expect({ ...keys, face: keys.face('a'), record: keys.record('a'), members: keys.members(homeKey({ type: 'game', group: 'kr-1' })) }).toMatchObject({
    face: 'service:instance:a',
    members: 'service:group:game:kr-1',
    record: 'service:record:a',
    leases: 'service:leases',
    groups: 'service:groups',
    events: 'service:events',
    beats: 'service:beats',
    epoch: 'service:epoch',
    alive: 'service:alive',
    grace: 'service:grace',
  });
  expect(jobsPrefix('service:')).toBe('{service}-jobs');
});

test('scripts are given the keys and stems in the order in which they name them', () => {
  const lua = readFileSync(new URL('../../lua/include/keys.lua', import.meta.url), 'utf8');
  const named = [...lua.matchAll(/^local ([A-Z, ]+) = (KEYS\[.*)$/gm)].flatMap(([, names = '', places = '']) => {
    const numbers = [...places.matchAll(/KEYS\[(\d+)\]/g)].map(([, number]) => Number(number));
    return names.split(', ').map((name, i) => [numbers[i], name.toLowerCase()] as const);
  });
  const stems: Record<string, string> = { face: 'p:instance:', record: 'p:record:', members: 'p:group:' };
  const { forScripts } = makeKeys('p:');
  expect(named.map(([number]) => number)).toEqual(forScripts.map((_, i) => i + 1));
  expect(forScripts).toEqual(named.map(([, name]) => stems[name] ?? `p:${name}`));
});

// All that the configuration accepts end with a colon.
const PREFIXES = ['service:', '{service}:', 'prod:service:', '{prod}service:', 'prod{service}:', 'prodservice:', 'service-jobs:', '{service}-jobs:', 'a.b:'];

test('every environment has jobs of its own, in one slot', () => {
  const jobs = PREFIXES.map(jobsPrefix);
  for (const prefix of jobs) expect(prefix).toMatch(/\{[^{}]+\}/);
  const shared = PREFIXES.filter((_, i) => jobs.indexOf(jobs[i] as string) !== i);
  expect(shared, 'prefixes that share their jobs with another').toEqual([]);
});
