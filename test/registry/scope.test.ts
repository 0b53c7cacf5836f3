import { expect, test } from 'vitest';
import { inScope } from '../../src/registry/scope.js';

const CASES: [pattern: string, value: string, allowed: boolean][] = [
  ['kr-1', 'kr-1', true], ['kr-1', 'kr-10', false], ['kr-*', 'kr-1', true], ['kr-*', 'kr-', true], ['kr-*', 'us-1', false],
  ['*', 'anything', true], ['*-1', 'kr-1', true], ['*-1', 'kr-12', false], ['a*b', 'ab', true], ['a*b', 'axxb', true], ['a*b', 'axxbc', false],
  ['ab*ba', 'aba', false], ['ab*ba', 'abba', true], ['a*b*c', 'a1b2c', true], ['a*b*c', 'acb', false], ['k.r', 'kxr', false], ['**', 'x', true],
];

test.each(CASES)('the pattern %s allows %s: %s', (pattern, value, allowed) => {
  expect(inScope({ groups: [pattern] }, { type: 'game', group: value })).toBe(allowed);
});

test('a pattern of many stars is not slow on a value made for it', () => {
  const steps = Array.from({ length: 1000 }, () => inScope({ types: [`${'*a'.repeat(20)}*c`] }, { type: `${'a'.repeat(62)}b`, group: 'x' }));
  expect(steps.every((allowed) => !allowed)).toBe(true); // with a backtracking regular expression the first would not end
});
