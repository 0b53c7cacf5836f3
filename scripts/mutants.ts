// `npm run mutants [-- name …]`: each row of test/mutants takes one guard away, in a copy of the checkout; a test that it names must
// then fail. One that does not build proves nothing and counts as survived. MUTANTS_AT_ONCE copies work side by side (default 2).
import { spawn } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { editsOf, mutants, type Mutant } from '../test/mutants/index.js';
import { filesHolding } from '../test/mutants/places.js';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const LEFT_OUT = new Set(['node_modules', '.git', 'dist', '.rollcall']);
const WITHIN_MS = 5 * 60_000;

function run(command: string, args: string[], cwd: string): Promise<{ status: number | null; said: string }> {
  const child = spawn(command, args, { cwd, timeout: WITHIN_MS, env: { ...process.env, NO_COLOR: '1', CI: '' } });
  let said = '';
  const hear = (chunk: Buffer) => { said += chunk.toString(); };
  child.stdout.on('data', hear);
  child.stderr.on('data', hear);
  return new Promise((resolve) => child.on('close', (status) => resolve({ status, said })));
}

function copyCheckout(): string {
  const folder = mkdtempSync(join(tmpdir(), 'rollcall-mutant-'));
  cpSync(ROOT, folder, { recursive: true, filter: (source) => !LEFT_OUT.has(basename(source)) });
  symlinkSync(join(ROOT, 'node_modules'), join(folder, 'node_modules'));
  return folder;
}

function mutate(folder: string, mutant: Mutant) {
  for (const { find, replace } of editsOf(mutant)) {
    const [file] = filesHolding(find, folder);
    if (file === undefined) throw new Error(`${mutant.name}: nothing in src or lua holds ${find}`);
    const path = join(folder, file);
    writeFileSync(path, readFileSync(path, 'utf8').replace(find, () => replace));
  }
}

/** Undefined when a test failed, as it should; else why the mutant lives. */
async function survival(mutant: Mutant): Promise<string | undefined> {
  const folder = copyCheckout();
  try {
    mutate(folder, mutant);
    const { said } = await run('npx', ['--no-install', 'vitest', 'run', ...mutant.test.split(' ')], folder); // builds first
    if (/Tests\s+\d+ failed/.test(said)) return undefined;
    return /Tests\s+\d+ passed/.test(said) ? 'no test failed' : `no test ran: ${said.trim().split('\n').at(-1)}`;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const wanted = process.argv.slice(2);
const chosen = mutants.filter(({ name }) => wanted.length === 0 || wanted.includes(name));
const left = [...chosen];
const survivors: string[] = [];

async function work() {
  for (let mutant = left.shift(); mutant; mutant = left.shift()) {
    const startedAt = performance.now();
    const reason = await survival(mutant);
    const seconds = Math.round((performance.now() - startedAt) / 1000);
    if (reason !== undefined) survivors.push(mutant.name);
    process.stdout.write(`${reason === undefined ? 'caught  ' : 'SURVIVED'}  ${mutant.name} (${seconds} s): ${mutant.guard}${reason === undefined ? '' : `: ${reason}`}\n`);
  }
}

await Promise.all(Array.from({ length: Number(process.env.MUTANTS_AT_ONCE ?? 2) }, work));
process.stdout.write(`${chosen.length - survivors.length} of ${chosen.length} mutants caught${survivors.length > 0 ? `; survived: ${survivors.join(', ')}` : ''}\n`);
process.exitCode = survivors.length > 0 || chosen.length === 0 ? 1 : 0;
