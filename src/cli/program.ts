import { hostname } from 'node:os';
import { Command, InvalidArgumentError } from 'commander';
import type { Client, ClientLog } from '../client/index.js';
import type { Port, Status } from '../contract/index.js';
import { completion, SHELLS, type Shell } from './completion.js';
import { connect, type ConnectOptions } from './connect.js';
import { listLive, watch, type FollowOptions } from './follow.js';
import { health } from './health.js';
import { runLocked } from './lock.js';
import type { Screen } from './print.js';
import { run } from './run.js';
import * as verbs from './verbs.js';

export interface Surroundings {
  version: string;
  out: Screen;
  coloured: boolean;
  environment: Record<string, string | undefined>;
  /** Aborts when the user has had enough; a command that ends by itself does not ask. */
  interrupted: () => AbortSignal;
  serve: () => Promise<void>;
  /** Ends the command with this code. */
  exit: (code: number) => void;
  log: ClientLog;
}

function port(text: string, before: Port[] = []): Port[] {
  const [, name, number = '', protocol = 'tcp'] = /^(?:([A-Za-z0-9][\w.-]*):)?(\d{1,5})(?:\/(tcp|udp))?$/.exec(text) ?? [];
  if (!(Number(number) >= 1 && Number(number) <= 65_535)) throw new InvalidArgumentError('write 7777, game:7777 or game:7777/udp');
  return [...before, { port: Number(number), ...(name !== undefined && { name }), protocol: protocol }];
}

function label(text: string, before: Record<string, string> = {}): Record<string, string> {
  const at = text.indexOf('=');
  if (at < 1) throw new InvalidArgumentError('write key=value');
  return { ...before, [text.slice(0, at)]: text.slice(at + 1) };
}

function seconds(text: string): number {
  if (!/^\d+$/.test(text)) throw new InvalidArgumentError('write a whole number of seconds');
  return Number(text);
}

const described = (command: Command) =>
  command
    .requiredOption('--type <type>', 'what it is, such as game')
    .option('--group <group>', 'where it belongs, such as kr-1')
    .option('--id <id>', 'its place in the fleet; made for it unless given')
    .option('--hostname <name>', `its name; that of this machine unless given`)
    .option('--port <port>', '7777, game:7777 or game:7777/udp; may be repeated', port)
    .option('--label <key=value>', 'may be repeated', label)
    .option('--status <status>', 'ready unless given')
    .option('--ttl <seconds>', 'length of its lease; 30 unless given', seconds);

async function runRegistered(client: Client, command: string, args: string[], options: verbs.RegisterOptions & { drain: number }): Promise<number> {
  const registration = { ...verbs.registrationOf(options, hostname()), ...(options.ttl && { ttlSeconds: options.ttl }) };
  const code = await run(client, { registration, drainMs: options.drain * 1000, command, args });
  await client.close();
  return code;
}

/** The commands. Each is one call of the client, and what it answers in words. */
export function programOf(around: Surroundings): Command {
  const { out, coloured, environment, interrupted, log } = around;
  const program = new Command('rollcall')
    .description('Service discovery over HTTP: who is there, and whether they are well.')
    .version(around.version)
    .option('--url <url>', 'of a gateway, several with commas between them (ROLLCALL_URL; http://127.0.0.1:3000)')
    .option('--token-file <file>', 'where the token is kept (or ROLLCALL_TOKEN); never an argument')
    .configureHelp({ sortSubcommands: false })
    .addHelpText('after', '\nExit codes: 0 done, 1 refused, 2 wrong arguments, 3 nobody answers, 4 not found. `run` ends with its program\'s.');
  const quiet: ClientLog = { info: () => undefined, warn: (about, message) => log.warn(about, message) };
  const client = (told: ClientLog = quiet) => connect(program.opts<ConnectOptions>(), environment, told);
  /** With a client that is closed afterwards. */
  const call = <T extends unknown[]>(act: (talk: verbs.Talk, ...args: T) => Promise<unknown>) => async (...args: T) => {
    const opened: Client = client();
    await act({ client: opened, out, coloured }, ...args).finally(() => opened.close());
  };
  const add = (name: string, about: string) => program.command(name).description(about);

  add('serve', 'run a gateway, configured by the environment').allowUnknownOption().action(around.serve);
  described(add('run', 'register a program for as long as it runs'))
    .option('--drain <seconds>', 'between saying that it shuts down and passing the signal on', seconds, 0)
    .argument('<command>', 'behind --')
    .argument('[args...]')
    .action(async (command: string, args: string[], options: verbs.RegisterOptions & { drain: number }) => around.exit(await runRegistered(client(log), command, args, options)));
  add('lock', 'run a program while it holds a lock, one at a time everywhere').argument('<name>').argument('<command>', 'behind --').argument('[args...]')
    .option('--ttl <seconds>', 'others wait for so long when the holder dies', seconds, 30).option('--wait <seconds>', 'for the lock', seconds, 0)
    .action(call(async ({ client: opened }, name: string, command: string, args: string[], { ttl, wait }: { ttl: number; wait: number }) =>
      around.exit(await runLocked(opened, name, { ttlSeconds: ttl, waitMs: wait * 1000, owner: hostname(), command, args }))));
  add('list', 'who is there')
    .option('--type <type>').option('--group <group>').option('--status <status>', 'such as ready,initializing').option('--label <key=value>', 'may be repeated', label)
    .option('--offline', 'those too that left lately').option('--json', 'as JSON').option('--watch', 'keep it up to date')
    .action(call((talk, options: verbs.ListOptions & { watch?: boolean }) => (options.watch ? listLive(talk, options, interrupted()) : verbs.list(talk, options))));
  add('watch', 'every change, as it comes').option('--type <type>').option('--group <group>').option('--json', 'a line of JSON each')
    .action(call((talk, options: FollowOptions) => watch(talk, options, interrupted())));
  add('get', 'one instance, as JSON').argument('<id>').action(call(verbs.get));
  described(add('register', 'register an instance once: its lease ends unless it is renewed')).option('--incarnation <id>', 'of this process; made for it unless given')
    .action(call((talk, options: verbs.RegisterOptions) => verbs.register(talk, options, hostname())));
  add('heartbeat', 'renew a lease once').argument('<id>').option('--incarnation <id>').action(call(verbs.heartbeat));
  add('status', 'say how an instance is').argument('<id>').argument('<status>', 'initializing, ready, shutting_down or error').argument('[text]', 'a line for people')
    .action(call((talk, id: string, status: Status, text?: string) => verbs.setStatus(talk, id, status, text)));
  add('cordon', 'tell those who choose to skip an instance').argument('<id>').option('--off', 'no longer').action(call(verbs.cordon));
  add('remove', 'remove an instance').argument('<id>').option('--incarnation <id>', 'only this process of it').action(call(verbs.remove));
  add('evict', 'end the hold of a group that fell silent').argument('<type>').argument('<group>').action(call(verbs.evict));
  add('health', 'a row for each gateway').option('--json', 'as JSON')
    .action(async ({ json = false }: { json?: boolean }) => around.exit((await health(client(), out, coloured, json)) ? 0 : 1));
  add('completion', `what ${SHELLS.join(' and ')} complete: eval "$(rollcall completion bash)"`).argument('<shell>', SHELLS.join(' or '))
    .action((shell: Shell) => {
      if (!SHELLS.includes(shell)) throw new InvalidArgumentError(`'${String(shell)}' is not one of ${SHELLS.join(', ')}`);
      out.write(completion(program, shell));
    });
  return program;
}
