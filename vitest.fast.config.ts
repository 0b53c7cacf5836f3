import { readdirSync, readFileSync } from 'node:fs';
import { configDefaults, mergeConfig } from 'vitest/config';
import all from './vitest.config.js';

/** What a test file says that starts more than this process and the one Redis of the run. */
const STARTS_MORE = /startRedis|helpers\/(?:boot|certificates|cluster-fleet|failover-load|fleet|haproxy|image|redis|replicas|sentinel-fleet|steady-load)\.js|node:child_process/;
/** They start replicas by way of their own helpers, or take as long as a lease and a random history do. */
const LONG = ['test/{faults,guarantees,replicas}/**', 'test/recovery/any-history.test.ts', 'test/redis/state-machine.test.ts'];

const files = readdirSync('test', { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.test.ts'));
const startMore = files.map((name) => `test/${name}`).filter((name) => STARTS_MORE.test(readFileSync(name, 'utf8')));

/** `npm run test:fast`: whatever needs no more than one Redis. */
export default mergeConfig(all, { test: { exclude: [...configDefaults.exclude, ...LONG, ...startMore], maxWorkers: 6 } });
