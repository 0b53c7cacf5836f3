import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';
import { expect, test } from 'vitest';
import * as contract from '../src/contract/index.js';
import { worstSteps } from './helpers/regexp-steps.js';

const SRC = fileURLToPath(new URL('../src/', import.meta.url));

/** Every expression that is written in src, and every pattern that a schema of the contract gives to a validator. */
function expressions(): { where: string; regexp: RegExp }[] {
  const found: { where: string; regexp: RegExp }[] = [];
  for (const name of readdirSync(SRC, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.ts'))) {
    const visit = (node: ts.Node) => {
      if (ts.isRegularExpressionLiteral(node)) {
        const end = node.text.lastIndexOf('/');
        found.push({ where: name, regexp: new RegExp(node.text.slice(1, end), node.text.slice(end + 1)) });
      }
      ts.forEachChild(node, visit);
    };
    visit(ts.createSourceFile(name, readFileSync(SRC + name, 'utf8'), ts.ScriptTarget.Latest));
  }
  const walk = (value: unknown) => {
    if (typeof value !== 'object' || value === null) return;
    if (value instanceof RegExp) found.push({ where: 'contract', regexp: value });
    const { pattern, patternProperties } = value as { pattern?: unknown; patternProperties?: object };
    for (const source of [pattern, ...Object.keys(patternProperties ?? {})]) {
      if (typeof source === 'string') found.push({ where: 'contract', regexp: new RegExp(source, 'u') });
    }
    Object.values(value).forEach(walk);
  };
  walk(Object.values(contract));
  return [...new Map(found.map((one) => [`${one.where} ${String(one.regexp)}`, one])).values()];
}

/** Bounded repetitions of names, 63 letters each, are gone through once more from each place; anything that grows is far above. */
const STEPS_PER_LETTER = 140;

const all = expressions();

test('the count knows a linear expression, a quadratic and a cubic one', () => {
  expect(worstSteps(/^[a-z]+$/).perLetter).toBeLessThan(5);
  expect(worstSteps(/a+$/).perLetter).toBeGreaterThan(STEPS_PER_LETTER);
  expect(worstSteps(/^\s*wait\s*(?:=\s*"?([^";]*?)"?\s*)?(?:;.*)?$/i).perLetter).toBeGreaterThan(STEPS_PER_LETTER);
});

test.each(all.map(({ where, regexp }) => [where, regexp]))('%s: %s takes time by the length of a text, not by its square', (_where, regexp) => {
  const { perLetter, text } = worstSteps(regexp);
  expect(perLetter, text.slice(0, 40)).toBeLessThan(STEPS_PER_LETTER);
});

test('expressions are found, and none is put together where this would not see it', () => {
  expect(all.filter(({ where }) => where === 'contract').length).toBeGreaterThan(5);
  expect(all.filter(({ where }) => where.startsWith('http/')).length).toBeGreaterThan(5);
  const made = readdirSync(SRC, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.ts') && /RegExp\(/.test(readFileSync(SRC + name, 'utf8')));
  expect(made).toEqual(['contract/discovery.ts', 'redis/upkeep/hand-written.ts']); // which the contract exports, or of its patterns
});
