import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { ROOT } from './helpers/replicas.js';
import { editsOf, mutants } from './mutants/index.js';
import { filesHolding } from './mutants/places.js';

// Whether a test fails for each takes `npm run mutants`; this says when one no longer fits the code.
test.each(mutants)('the mutant $name changes one place of the code, and names tests that exist', (mutant) => {
  for (const { find, replace } of editsOf(mutant)) {
    expect(filesHolding(find, ROOT), find).toHaveLength(1);
    expect(replace).not.toBe(find);
  }
  expect(mutant.test.split(' ').filter((path) => !existsSync(join(ROOT, path)))).toEqual([]);
});

test('no two mutants share a name', () => {
  const names = mutants.map(({ name }) => name);
  expect(names.filter((name, i) => names.indexOf(name) !== i)).toEqual([]);
});
