import { readdirSync, readFileSync } from 'node:fs';
import { configDefaults, defineConfig } from 'vitest/config';

/** What a test file says that starts more than this process and the one Redis of the run. */
const STARTS_MORE = /startRedis|helpers\/(?:boot|certificates|cluster-fleet|failover-load|fleet|haproxy|image|redis|replicas|sentinel-fleet|steady-load)\.js|node:child_process/;
/** They start replicas by way of their own helpers, or take as long as a lease and a random history do. */
const LONG = /^test\/(?:faults|guarantees|replicas)\/|^test\/recovery\/any-history|^test\/redis\/state-machine/;

const files = readdirSync('test', { recursive: true, encoding: 'utf8' }).map((name) => `test/${name}`).filter((name) => name.endsWith('.test.ts'));
const timed = files.filter((name) => LONG.test(name) || STARTS_MORE.test(readFileSync(name, 'utf8')));

export default defineConfig({
  test: {
    setupFiles: 'test/helpers/nothing-left.ts',
    globalSetup: 'test/helpers/global-setup.ts',
    pool: 'forks',
    // Loading the gateway's modules anew for each file took a third of the time of all tests. What a file leaves behind meets the next.
    isolate: false,
    testTimeout: 20_000,
    hookTimeout: 30_000,
    // CI's machine is shared, and many of these tests measure what others do in time: one that fails is run once more, and both
    // runs are printed. What is broken fails twice.
    retry: process.env.CI ? 1 : 0,
    allowOnly: false,
    // One after the other: what keeps two cores busy is not to run beside what judges how soon processes answer.
    projects: [
      // `npm run test:fast`: whatever needs no more than one Redis.
      { extends: true, test: { name: 'fast', include: ['test/**/*.test.ts'], exclude: [...configDefaults.exclude, ...timed], maxWorkers: 4, sequence: { groupOrder: 0 } } },
      // On two cores three at a time: most of them wait for a lease or a time limit.
      { extends: true, test: { name: 'timed', include: timed, maxWorkers: 3, sequence: { groupOrder: 1 } } },
    ],
  },
});
