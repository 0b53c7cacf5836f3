import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    setupFiles: 'test/helpers/nothing-left.ts',
    globalSetup: 'test/helpers/global-setup.ts',
    pool: 'forks',
    maxWorkers: 3, // on two cores: many tests wait for a lease or a time limit
    // Loading the gateway's modules anew for each file took a third of the time of all tests. What a file leaves behind meets the next.
    isolate: false,
    testTimeout: 20_000,
    hookTimeout: 30_000,
    // CI's machine is shared, and many of these tests measure what others do in time: one that fails is run once more, and both
    // runs are printed. What is broken fails twice.
    retry: process.env.CI ? 1 : 0,
    allowOnly: false,
  },
});
