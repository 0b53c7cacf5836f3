import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { TestProject } from 'vitest/node';
import { startRedis } from './redis.js';

declare module 'vitest' {
  export interface ProvidedContext {
    redisUrl: string;
  }
}

/** One Redis for the whole run, each test with a prefix of its own; and a fresh build, for tests that start processes. */
export default async function setup({ provide }: TestProject) {
  const root = fileURLToPath(new URL('../..', import.meta.url));
  execFileSync('npm', ['run', '--silent', 'build'], { cwd: root, stdio: 'inherit' });
  const redis = await startRedis();
  provide('redisUrl', redis.url);
  return () => redis.stop();
}
