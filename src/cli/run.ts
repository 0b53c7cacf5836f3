import { spawn, type ChildProcess } from 'node:child_process';
import { constants } from 'node:os';
import { join, type Client, type JoinOptions, type Session } from '../client/index.js';

export interface RunOptions {
  registration: JoinOptions;
  /** Between saying that it shuts down and passing the signal on, in ms: others stop choosing it meanwhile. */
  drainMs: number;
  command: string;
  args: string[];
}

const SIGNALS = ['SIGTERM', 'SIGINT', 'SIGHUP'] as const;

/**
 * Runs a program, registered for as long as it runs. A signal is passed on after the drain; a program that ends by itself is removed at once, with how
 * it ended. Resolves to its exit code, 128 and its number for a signal.
 */
export async function run(client: Client, { registration, drainMs, command, args }: RunOptions): Promise<number> {
  const session = join(registration, client);
  const child = spawn(command, args, { stdio: 'inherit', env: { ...process.env, ROLLCALL_INSTANCE_ID: session.instanceId, ROLLCALL_INCARNATION: session.incarnation } });
  let asked = false;
  for (const signal of SIGNALS) {
    process.on(signal, () => {
      if (asked) return void child.kill(signal); // a second time: at once
      asked = true;
      session.updateStatus('shutting_down');
      setTimeout(() => child.kill(signal), drainMs);
    });
  }
  const { code, how } = await ended(child, command);
  await leave(session, asked ? undefined : how);
  return code;
}

/** How a program ended: its exit code, and that in words. */
export function ended(child: ChildProcess, command: string): Promise<{ code: number; how: string }> {
  return new Promise((resolve) => {
    child.once('error', (error: NodeJS.ErrnoException) => {
      process.stderr.write(`rollcall: cannot run '${command}': ${error.message}\n`);
      resolve({ code: error.code === 'ENOENT' ? 127 : 126, how: `could not be run: ${error.code}` });
    });
    child.once('exit', (code, signal) => {
      if (signal === null) resolve({ code: code ?? 0, how: `exited with ${code}` });
      else resolve({ code: 128 + constants.signals[signal], how: `ended by ${signal}` });
    });
  });
}

/** The cause stands in the log of changes: the record as it was at the end. */
const leave = (session: Session, cause: string | undefined) => session.leave(cause === undefined ? {} : { status: 'error', customState: cause });
