import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { freePort } from './ports.js';
import { until } from './until.js';

export interface TestRedis {
  port: number;
  url: string;
  pid: number;
  /** Ends the server; `kill` ends it at once. Its directory stays until `stop`. */
  kill: () => Promise<void>;
  stop: () => Promise<void>;
  /** Starts it again on the same port, with what it had on disk. */
  restart: () => Promise<void>;
  signal: (name: NodeJS.Signals) => void;
}

/** A real redis-server on a free loopback port, or on this one, with a directory of its own. `env` is added to that of this process. */
export async function startRedis(args: string[] = [], env: Record<string, string> = {}, onPort?: number): Promise<TestRedis> {
  const port = onPort ?? (await freePort());
  const dir = mkdtempSync(join(tmpdir(), 'rollcall-test-redis-'));
  const start = async () => {
    const command = ['--bind', '127.0.0.1', '--port', String(port), '--dir', dir, '--save', '', '--loglevel', 'warning', ...args];
    const child = spawn('redis-server', command, { stdio: 'ignore', env: { ...process.env, LC_ALL: 'C', ...env } });
    const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()));
    child.once('error', () => undefined);
    await until(() => child.exitCode !== null || ping(port), 20_000);
    if (child.exitCode !== null) throw new Error(`redis-server ended at once, with ${child.exitCode}: is port ${port} taken?`);
    return { child, exited };
  };
  let running = await start();
  let starting = Promise.resolve(running);
  const kill = async () => {
    await starting.catch(() => undefined); // one that is starting would come up after it
    running.child.kill('SIGKILL');
    await running.exited;
  };
  return {
    port,
    url: `redis://127.0.0.1:${port}`,
    get pid() {
      return running.child.pid as number;
    },
    kill,
    stop: async () => {
      await kill();
      rmSync(dir, { recursive: true, force: true });
    },
    restart: async () => {
      running = await (starting = start());
    },
    signal: (name) => running.child.kill(name),
  };
}

async function ping(port: number): Promise<boolean> {
  const redis = new Redis({ port, host: '127.0.0.1', lazyConnect: true, enableReadyCheck: false, retryStrategy: () => null, maxRetriesPerRequest: 0 });
  redis.on('error', () => undefined);
  try {
    await redis.connect();
    await redis.ping();
    return true;
  } catch (error) {
    return error instanceof Error && /NOAUTH|WRONGPASS/.test(error.message);
  } finally {
    redis.disconnect();
  }
}
