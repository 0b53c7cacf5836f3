// `npm run faults:random -- --seed 7 --minutes 5`: faults by chance against three replicas under load, and a model that knows who lives. Each
// violation of a rule of docs/design.md is printed with what led to it. `--judge FILE` judges a history again that a run has saved.
import { mkdirSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { stopAllBeds } from './bed.js';
import { History } from './random/history.js';
import { explain, judge, summary } from './random/judge/index.js';
import { runRandom } from './random/run.js';

const SHOWN_OF_A_RULE = 3;
const { values } = parseArgs({
  options: { seed: { type: 'string', default: '1' }, minutes: { type: 'string', default: '5' }, slots: { type: 'string', default: '200' }, judge: { type: 'string' } },
});

for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => void stopAllBeds().finally(() => process.exit(1)));

async function historyOf(): Promise<History> {
  if (values.judge !== undefined) return History.read(values.judge);
  const tell = (text: string) => void process.stderr.write(`${text}\n`);
  const { history, logs } = await runRandom({ seed: Number(values.seed), minutes: Number(values.minutes), slots: Number(values.slots), tell });
  const folder = join(tmpdir(), `rollcall-random-${values.seed}-${process.pid}`);
  mkdirSync(folder, { recursive: true });
  history.save(join(folder, 'history.ndjson'));
  logs.forEach((log, n) => writeFileSync(join(folder, `replica-${n}.log`), log));
  tell(`history and logs: ${folder}`);
  return history;
}

const history = await historyOf();
const violations = judge(history);
const shown = new Map<string, number>();
for (const violation of violations) {
  const before = shown.get(violation.rule) ?? 0;
  shown.set(violation.rule, before + 1);
  if (before < SHOWN_OF_A_RULE) process.stdout.write(`${explain(violation, history)}\n`);
}
if (shown.size > 0) process.stdout.write(`${[...shown].map(([rule, count]) => `${count} ${rule}`).join(', ')}\n`);
process.stdout.write(`${summary(history, violations)}\n`);
process.exit(violations.length > 0 ? 1 : 0);
