import { readFileSync } from 'node:fs';
import { CommanderError } from 'commander';
import { RollcallError } from '../client/index.js';
import { isColoured } from './print.js';
import { programOf } from './program.js';

/** Documented in `--help`. */
const EXIT = { refused: 1, usage: 2, unreachable: 3, notFound: 4 };

const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as { version: string };

/** Runs one command; sets the exit code of the process. */
export async function main(args: string[], serve: () => Promise<void>): Promise<void> {
  const { stdout: out, env: environment } = process;
  out.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? 0 : 1)); // `rollcall list | head`
  const warn = (about: object, message: string) => void process.stderr.write(`rollcall: ${message}${'err' in about ? ` (${(about.err as Error).message})` : ''}\n`);
  const interrupted = () => {
    const stop = new AbortController();
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stop.abort());
    return stop.signal;
  };
  let code = 0;
  const program = programOf({ version, out, coloured: isColoured(out, environment.NO_COLOR), environment, interrupted, serve, exit: (given) => (code = given), log: { info: warn, warn } });
  const throwing = (command: typeof program) => void command.exitOverride().commands.forEach((one) => throwing(one));
  throwing(program);
  try {
    await program.parseAsync(args, { from: 'user' });
    process.exitCode ??= code;
  } catch (error) {
    process.exitCode = codeOf(error);
  }
}

/** Says what went wrong, unless commander has; for people, on one line. */
function codeOf(error: unknown): number {
  if (error instanceof CommanderError) {
    if (error.code === 'commander.invalidArgument' && !error.message.startsWith('error:')) process.stderr.write(`error: ${error.message}\n`);
    return error.exitCode === 0 ? 0 : EXIT.usage;
  }
  const { message } = error as Error;
  process.stderr.write(`rollcall: ${message}\n`);
  if (!(error instanceof RollcallError)) return EXIT.refused;
  if (error.code === 'invalid_request' && error.details.status === undefined) return EXIT.usage;
  return error.code === 'unreachable' ? EXIT.unreachable : error.code === 'instance_not_found' ? EXIT.notFound : EXIT.refused;
}
