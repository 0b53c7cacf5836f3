import closeWithGrace from 'close-with-grace';
import { ConfigError, readConfig, suspects, type Config } from './config.js';
import { version } from './http/version.js';
import { catchPrints, createLog } from './log.js';
import { startReplica, type Closers } from './replica.js';
import { VARIABLES } from './variables.js';

const EXIT_WITHIN_MS = 9500;

/** Starts the gateway, or says what was asked for. */
async function main(args: string[]) {
  const [asked] = args;
  if (asked === '--version') return void process.stdout.write(`${version}\n`);
  if (asked === '--help' || asked === '-h') return void process.stdout.write(help());
  if (asked !== undefined) {
    process.stderr.write(`unknown argument '${asked}': the gateway is configured by the environment, see --help\n`);
    process.exit(2);
  }
  await run(configured());
}

function configured(): Config {
  try {
    return readConfig();
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return refuse(error);
  }
}

async function run(config: Config) {
  const log = createLog(config.logLevel);
  catchPrints(log);
  for (const found of suspects()) log.warn(found, 'a variable that is none of ours and looks like one: it is not read');
  const closers: Closers = [];
  const close = async () => {
    for (const closer of closers.splice(0).reverse()) {
      try {
        await closer();
      } catch (error) {
        log.error({ err: error as Error }, 'not closed cleanly'); // the rest is closed all the same
      }
    }
  };
  closeWithGrace({ delay: EXIT_WITHIN_MS, logger: false }, async ({ err, signal }) => {
    if (err) log.fatal({ err }, 'unexpected error: shutting down');
    else log.info({ signal }, 'shutting down');
    await close();
    log.info('stopped');
  });
  try {
    await startReplica(config, log, closers);
  } catch (error) {
    log.debug({ err: error as Error }, 'not started');
    await close();
    refuse(error as Error);
  }
}

/** Ends the process with the reason: a line of the log for whoever collects that, and words for whoever sits before it. Silence cannot be asked for here. */
function refuse({ message }: Error): never {
  if (process.stderr.isTTY) process.stderr.write(`rollcall: ${message}\n`);
  if (!process.stdout.isTTY) createLog('fatal').fatal(message);
  process.exit(1);
}

const help = () => `Rollcall ${version}: a service-discovery gateway

  npm start                 from a checkout; without REDIS_URL with a Redis of its own, in memory
  node dist/server.js       the same, built
  --version, --help

Configured by the environment only (docs/operating.md says more):

${VARIABLES.map(({ name, default: fallback, about }) => `  ${name}${fallback && `=${fallback}`}\n      ${about}\n`).join('')}`;

await main(process.argv.slice(2));
