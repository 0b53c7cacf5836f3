import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { freePort } from './ports.js';
import { until } from './until.js';

export const ROOT = fileURLToPath(new URL('../..', import.meta.url));

export interface Replica {
  port: number;
  url: string;
  pid: number;
  /** Each line that it wrote, to either stream. */
  log: string[];
  signal: (name: NodeJS.Signals) => void;
  /** What it ended with, and how long after this was asked. */
  exit: () => Promise<{ code: number | null; signal: NodeJS.Signals | null; ms: number }>;
  /** The end of a test: at once, even when it is stopped. */
  kill: () => Promise<void>;
}

export interface ReplicaSetup {
  /** What starts it, with arguments. */
  wrapper?: string[];
  env: Record<string, string>;
  port?: number;
  /** Where `dist/server.js` stands; the checkout by default. */
  folder?: string;
  /** How long it may take to be ready. */
  withinMs?: number;
}

/** A process of its own, as the container starts it, with nothing of this environment but PATH. Ready when it is returned. */
export async function startReplica({ env, port, folder = ROOT, withinMs = 30_000, wrapper = [] }: ReplicaSetup): Promise<Replica> {
  const chosen = port ?? (await freePort());
  const url = `http://127.0.0.1:${chosen}`;
  const [command = process.execPath, ...args] = [...wrapper, process.execPath, 'dist/server.js'];
  const child = spawn(command, args, {
    cwd: folder,
    env: { PATH: process.env.PATH, NODE_ENV: 'production', HOST: '127.0.0.1', PORT: String(chosen), ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const log: string[] = [];
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => log.push(...chunk.toString().split('\n').filter(Boolean)));
  const exited = new Promise<{ code: number | null; signal: NodeJS.Signals | null }>((resolve) => {
    child.once('exit', (code, signal) => resolve({ code, signal }));
  });
  const kill = async () => {
    child.kill('SIGKILL');
    await exited;
  };
  try {
    const ended = exited.then(({ code, signal }) => Promise.reject(new Error(`it ended with ${code ?? signal}`)));
    await Promise.race([until(() => fetch(`${url}/readyz`).then(({ status }) => status === 200), withinMs, 50), ended]);
    ended.catch(() => undefined);
  } catch (error) {
    await kill();
    throw new Error(`replica did not start: ${(error as Error).message}\n${log.join('\n')}`, { cause: error });
  }
  return {
    port: chosen,
    url,
    pid: child.pid as number,
    log,
    signal: (name) => void child.kill(name),
    exit: async () => {
      const askedAt = performance.now();
      return { ...(await exited), ms: performance.now() - askedAt };
    },
    kill,
  };
}
