// `npm run faults [-- --short] [--write] [name …]`: every fault of the catalogue against three replicas under load, or the named ones. A line
// for each with its numbers; ends with 1 if any failed. What only waits runs side by side. All of them, at full size, are written to
// bench/faults.md.
import { mkdirSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir, totalmem } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { stopAllBeds } from './faults/bed.js';
import { catalogue, elsewhere } from './faults/catalogue/index.js';
import { report } from './faults/report.js';
import { FULL, SHORT, type Fault, type Outcome } from './faults/scale.js';
import { print } from './rig.js';

const SIDE_BY_SIDE = 3;
const AT_MOST_MS = 240_000;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { short: { type: 'boolean' }, write: { type: 'boolean' }, list: { type: 'boolean' }, lanes: { type: 'string' } },
});
const unknown = positionals.filter((name) => !catalogue.some((fault) => fault.name === name));
if (values.list || unknown.length > 0) {
  for (const { name, expectation } of catalogue) print(`${name}: ${expectation}`);
  for (const name of unknown) process.stderr.write(`no fault is named ${name}\n`);
  process.exit(unknown.length > 0 ? 1 : 0);
}

const scale = values.short ? SHORT : FULL;
const chosen = catalogue.filter(({ name }) => positionals.length === 0 || positionals.includes(name));
const evidence = join(tmpdir(), `rollcall-faults-${process.pid}`);
const outcomes = new Map<Fault, Outcome>();
const startedAt = Date.now();

async function run(fault: Fault) {
  const since = Date.now();
  const ms = fault.atMostMs ?? AT_MOST_MS;
  const late = new Promise<Outcome>((resolve) => setTimeout(resolve, ms, { numbers: {}, failures: [`not over after ${ms} ms`] }).unref());
  const broken = (error: Error): Outcome => ({ numbers: {}, failures: [`did not start: ${error.stack}`] });
  const outcome = await Promise.race([fault.run(scale).catch(broken), late]);
  outcomes.set(fault, outcome);
  const numbers = Object.entries(outcome.numbers).map(([name, value]) => `${name}=${value}`);
  print(`${outcome.failures.length === 0 ? 'PASS' : 'FAIL'} ${fault.name} (${Math.round((Date.now() - since) / 1000)} s) ${numbers.join(' ')}`);
  if (outcome.failures.length === 0) return;
  for (const failure of outcome.failures.filter((each) => !each.startsWith('log of')).slice(0, 8)) print(`     ${failure.slice(0, 400)}`);
  mkdirSync(evidence, { recursive: true });
  writeFileSync(join(evidence, `${fault.name}.log`), outcome.failures.join('\n'));
}

for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => void stopAllBeds().finally(() => process.exit(1)));

async function lane(waiting: Fault[]) {
  for (let fault = waiting.shift(); fault; fault = waiting.shift()) await run(fault);
}

const waiting = chosen.filter(({ alone }) => !alone);
await Promise.all(Array.from({ length: Number(values.lanes ?? SIDE_BY_SIDE) }, () => lane(waiting)));
await lane(chosen.filter(({ alone }) => alone));

await stopAllBeds();
const failed = [...outcomes.values()].filter(({ failures }) => failures.length > 0).length;
const minutes = ((Date.now() - startedAt) / 60_000).toFixed(1);
const early = [...outcomes.values()].reduce((sum, { numbers }) => sum + Number(numbers.early ?? 0), 0);
print(`${outcomes.size} faults in ${minutes} minutes: ${outcomes.size - failed} passed, ${failed} failed; early drops ${early}`);
if (failed > 0) print(`more of the failures: ${evidence}`);
if (values.write || (positionals.length === 0 && !values.short)) {
  const machine = `${cpus().length} cores (${cpus()[0]?.model ?? 'unknown'}), ${Math.round(totalmem() / 2 ** 30)} GB, Node ${process.version.slice(1)}`;
  const results = catalogue.flatMap((fault) => (outcomes.has(fault) ? [{ fault, outcome: outcomes.get(fault) as Outcome }] : []));
  writeFileSync('bench/faults.md', report({ results, elsewhere, scale, machine, minutes }));
}
process.exit(failed > 0 ? 1 : 0);
