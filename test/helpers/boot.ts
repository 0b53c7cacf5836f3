import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { onTestFinished } from 'vitest';

const SERVER = fileURLToPath(new URL('../../dist/server.js', import.meta.url));

export interface Booted {
  /** A fresh working directory, gone with the test. */
  dir: string;
  stdout: () => string;
  stderr: () => string;
  exited: Promise<number | null>;
  signal: (name: NodeJS.Signals) => void;
}

/** The process as somebody starts it by hand, in a working directory of its own, with nothing of this environment but PATH. */
export function boot(env: Record<string, string> = {}, dir = freshDir(), args: string[] = []): Booted {
  const child = spawn(process.execPath, [SERVER, ...args], { cwd: dir, env: { PATH: process.env.PATH, ...env }, stdio: ['ignore', 'pipe', 'pipe'] });
  const said = { stdout: '', stderr: '' };
  child.stdout.on('data', (chunk: Buffer) => (said.stdout += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (said.stderr += chunk.toString()));
  const exited = new Promise<number | null>((resolve) => child.once('close', resolve));
  onTestFinished(async () => {
    child.kill('SIGKILL');
    await exited;
  });
  return { dir, stdout: () => said.stdout, stderr: () => said.stderr, exited, signal: (name) => void child.kill(name) };
}

export function freshDir(): string {
  const dir = mkdtempSync(join(tmpdir(), 'rollcall-test-boot-'));
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}
