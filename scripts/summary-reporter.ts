import type { Reporter, TestCase, TestModule } from 'vitest/node';

const SLOWEST = 10;

const seconds = (ms: number) => `${(ms / 1000).toFixed(1)} s`.padStart(8);
const lines = (title: string, rows: string[]) => (rows.length > 0 ? `\n${title}\n${rows.map((row) => `  ${row}\n`).join('')}` : '');

/** Of the tries that failed, whatever became of the last. */
const errorsOf = (test: TestCase) => (test.result().errors ?? []).map(({ message }) => message.split('\n', 1)[0] ?? '');

/** The end of a check: what took longest, what passed only when it was run again, and as the last line the count of tests. */
export default class SummaryReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[]) {
    const tests = modules.flatMap((module) => [...module.children.allTests()]);
    const named = (test: TestCase) => `${test.module.relativeModuleId}: ${test.fullName}`;
    const slowest = tests
      .map((test) => ({ test, ms: test.diagnostic()?.duration ?? 0 }))
      .sort((one, other) => other.ms - one.ms)
      .slice(0, SLOWEST);
    const retried = tests.filter((test) => test.result().state === 'passed' && (test.diagnostic()?.retryCount ?? 0) > 0);
    const count = (state: string) => tests.filter((test) => test.result().state === state).length;
    const broken = modules.filter((module) => module.errors().length > 0).length; // a file that could not be loaded ran no test

    process.stdout.write(lines(`the slowest ${SLOWEST} tests`, slowest.map(({ test, ms }) => `${seconds(ms)}  ${named(test)}`)));
    process.stdout.write(lines('passed only when run again: find out why', retried.map((test) => [named(test), ...errorsOf(test)].join('\n      '))));
    if (count('skipped') > 0 && process.env.CI) {
      process.stdout.write(`\n${count('skipped')} tests were skipped: none may be in CI\n`);
      process.exitCode = 1;
    }
    process.stdout.write(`\n${count('passed')} passed, ${count('failed') + broken} failed\n`);
  }
}
