// `npm run mutants [-- name …]`: each patch of test/mutants removes one guard, in a copy of the checkout; the test it names must
// then fail. A patch that does not apply, or does not build, proves nothing and counts as survived.
import { spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const PATCHES = join(ROOT, 'test/mutants');
const LEFT_OUT = new Set(['node_modules', '.git', 'dist', '.rollcall']);
const WITHIN_MS = 5 * 60_000;

interface Mutant {
  name: string;
  path: string;
  /** What it takes away. */
  guard: string;
  /** Arguments of vitest. */
  test: string[];
}

/** A patch begins with two lines, `guard: …` and `test: …`. */
function readMutant(file: string): Mutant {
  const path = join(PATCHES, file);
  const [, guard, test] = /^guard: (.+)\ntest: (.+)\n/.exec(readFileSync(path, 'utf8')) ?? [];
  if (guard === undefined || test === undefined) throw new Error(`${file} must begin with the lines 'guard: …' and 'test: …'`);
  return { name: basename(file, '.patch'), path, guard, test: test.split(' ') };
}

function run(command: string, args: string[], cwd: string) {
  const { status, stdout, stderr } = spawnSync(command, args, { cwd, encoding: 'utf8', timeout: WITHIN_MS, env: { ...process.env, NO_COLOR: '1' } });
  return { status, said: `${stdout}${stderr}` };
}

function copyCheckout(): string {
  const folder = mkdtempSync(join(tmpdir(), 'rollcall-mutant-'));
  cpSync(ROOT, folder, { recursive: true, filter: (source) => !LEFT_OUT.has(basename(source)) });
  symlinkSync(join(ROOT, 'node_modules'), join(folder, 'node_modules'));
  return folder;
}

/** Undefined when a test failed, as it should; else why the mutant lives. */
function survival({ path, test }: Mutant): string | undefined {
  const folder = copyCheckout();
  try {
    const applied = run('git', ['apply', path], folder);
    if (applied.status !== 0) return `the patch does not apply: ${applied.said.trim().split('\n')[0]}`;
    const built = run('npm', ['run', '--silent', 'build'], folder);
    if (built.status !== 0) return `it does not build: ${built.said.trim().split('\n').at(-1)}`;
    const { said } = run('npx', ['--no-install', 'vitest', 'run', ...test], folder);
    return /Tests\s+\d+ failed/.test(said) ? undefined : 'no test failed';
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const wanted = process.argv.slice(2);
const mutants = readdirSync(PATCHES).filter((file) => file.endsWith('.patch')).sort().map(readMutant).filter(({ name }) => wanted.length === 0 || wanted.includes(name));
let survived = 0;
for (const mutant of mutants) {
  const startedAt = performance.now();
  const reason = survival(mutant);
  if (reason !== undefined) survived++;
  const seconds = Math.round((performance.now() - startedAt) / 1000);
  process.stdout.write(`${reason === undefined ? 'caught  ' : 'SURVIVED'}  ${mutant.name} (${seconds} s): ${mutant.guard}${reason === undefined ? '' : `: ${reason}`}\n`);
}
process.stdout.write(`${mutants.length - survived} of ${mutants.length} mutants caught\n`);
process.exitCode = survived > 0 || mutants.length === 0 ? 1 : 0;
