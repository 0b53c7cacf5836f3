import { spawn } from 'node:child_process';
import type { Client } from '../client/index.js';
import { ended } from './run.js';

export interface LockCommand {
  ttlSeconds: number;
  waitMs: number;
  owner: string;
  command: string;
  args: string[];
}

/**
 * Runs a program while it holds a lock; the program is told the fencing token, and is sent SIGTERM when the lock is lost. Resolves to its exit code.
 * @throws {RollcallError} lock_held, lock_lost.
 */
export function runLocked(client: Client, name: string, { ttlSeconds, waitMs, owner, command, args }: LockCommand): Promise<number> {
  return client.lock(name, { ttlSeconds, waitMs, owner }, async ({ fencingToken, signal }) => {
    const child = spawn(command, args, { stdio: 'inherit', env: { ...process.env, ROLLCALL_FENCING_TOKEN: String(fencingToken) } });
    signal.addEventListener('abort', () => child.kill('SIGTERM'));
    for (const one of ['SIGTERM', 'SIGINT'] as const) process.on(one, () => child.kill(one));
    return (await ended(child, command)).code;
  });
}
