import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { ROOT } from './helpers/replicas.js';

const PATCHES = join(ROOT, 'test/mutants');

// Whether a test fails for each takes `npm run mutants`, some fifteen minutes; this says when one no longer fits the code.
test.each(readdirSync(PATCHES))('the mutant %s names its guard and its tests, and applies', (file) => {
  const path = join(PATCHES, file);
  expect(readFileSync(path, 'utf8')).toMatch(/^guard: .+\ntest: (?:test\/\S+ ?)+\n--- a\//);
  const { status, stderr } = spawnSync('git', ['apply', '--check', path], { cwd: ROOT, encoding: 'utf8' });
  expect([status, stderr]).toEqual([0, '']);
});
