import { execFile, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { RedisTarget } from './url.js';

export interface Embedded {
  engine: 'redis-server' | 'valkey-server' | 'js-redis-server';
  target: RedisTarget;
  /** The engine does not know the `#!lua` line. */
  plainLua: boolean;
  /** Resolves when the engine has ended, asked or not. */
  ended: Promise<void>;
  close: () => Promise<void>;
}

const ENGINES = ['redis-server', 'valkey-server'] as const;
const MIN_MAJOR = 7;
const START_TIMEOUT_MS = 20_000; // of a machine that is short of CPU
const STOP_TIMEOUT_MS = 2000;

/**
 * Runs the child and ends it when our end of its standard input closes, which also happens when this process is killed:
 * a kill -9 leaves no Redis behind, nor its folder ($0). (Job control is off in `sh -c`, so background jobs read from fd 3, not from 0.)
 */
const LEASHED = 'exec 3<&0; "$@" & child=$!; (cat <&3 >/dev/null; kill "$child" 2>/dev/null) & wait "$child"; rmdir "$0"';

const loopback = (port: number): RedisTarget => ({ kind: 'single', nodes: [{ host: '127.0.0.1', port }], db: 0, tls: false });

/**
 * A Redis of this process's own, on a free loopback port, in memory, gone with the process: `redis-server` or
 * `valkey-server` of the PATH if new enough, else the pure-JS engine of the checkout.
 * @throws {Error} with the line that mends it, when there is none.
 */
export async function startEmbedded(engines: readonly string[] = ENGINES): Promise<Embedded> {
  for (const engine of ENGINES.filter((name) => engines.includes(name))) {
    const version = await versionOf(engine);
    if (version !== undefined && Number.parseInt(version, 10) >= MIN_MAJOR) return startServer(engine);
  }
  return startJavaScript();
}

async function versionOf(engine: string): Promise<string | undefined> {
  try {
    const { stdout } = await promisify(execFile)(engine, ['--version'], { timeout: START_TIMEOUT_MS });
    return /\bv=(\d+\.\d+\.\d+)/.exec(stdout)?.[1];
  } catch {
    return undefined; // not on the PATH
  }
}

async function startServer(engine: (typeof ENGINES)[number]): Promise<Embedded> {
  const port = await freePort();
  const dir = mkdtempSync(join(tmpdir(), 'rollcall-redis-'));
  const command = [engine, '--bind', '127.0.0.1', '--port', String(port), '--dir', dir, '--save', '', '--appendonly', 'no'];
  const child = spawn('sh', ['-c', LEASHED, dir, ...command], { stdio: ['pipe', 'pipe', 'inherit'], detached: true });
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  await new Promise<void>((resolve, reject) => {
    const giveUp = setTimeout(() => reject(new Error(`${engine} did not start within ${START_TIMEOUT_MS} ms`)), START_TIMEOUT_MS);
    let said = '';
    child.stdout.on('data', (chunk: Buffer) => {
      said = (said + chunk.toString()).slice(-4096);
      if (!said.includes('Ready to accept connections')) return;
      clearTimeout(giveUp);
      resolve();
    });
    void ended.then(() => reject(new Error(`${engine} did not start: ${said.trim().split('\n').at(-1) ?? ''}`)));
  });
  const close = async () => {
    child.stdin.end();
    await Promise.race([ended, new Promise((resolve) => setTimeout(resolve, STOP_TIMEOUT_MS).unref())]);
    rmSync(dir, { recursive: true, force: true });
  };
  return { engine, target: loopback(port), plainLua: false, ended, close };
}

/** The pure-JS engine is a devDependency: a production install does not have it. */
async function startJavaScript(): Promise<Embedded> {
  const core = await import('js-redis-server/core').catch(() => {
    throw new Error(
      'no Redis: set REDIS_URL=redis://host:port, or install one here: apt-get install redis-server (Debian), brew install redis (macOS), docker run -p 6379:6379 redis:7',
    );
  });
  const compatibility = core.resolveCompatibilityProfile('redis-7.2');
  const state = new core.RedisServerState({ databaseCount: 16, compatibility });
  const resp = new core.Resp2Server({ server: state, executor: core.createRedisCommandExecutor({ compatibility }) });
  // Its own listen() would bind every interface, and leave Nagle's delay on: 44 ms for each pipelined reply.
  const server = createServer({ noDelay: true }, (socket) => resp.server.emit('connection', socket));
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const close = () => new Promise<void>((resolve) => server.close(() => resolve()));
  const ended = new Promise<void>((resolve) => server.once('close', resolve));
  return { engine: 'js-redis-server', target: loopback(port), plainLua: true, ended, close };
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}
