import closeWithGrace from 'close-with-grace';
import { pino } from 'pino';
import { ConfigError, readConfig, type Config } from './config.js';
import { startReplica, type Closers } from './replica.js';

const EXIT_WITHIN_MS = 9500;

async function main() {
  let config: Config;
  try {
    config = readConfig();
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    process.stderr.write(`${error.message}\n`);
    process.exit(1);
  }
  const log = pino({
    level: config.logLevel,
    base: { service: 'rollcall', pid: process.pid },
    redact: ['req.headers["x-api-token"]', 'req.headers.authorization', 'req.headers.cookie'],
  });
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
    process.stderr.write(`rollcall: ${(error as Error).message}\n`);
    log.debug({ err: error as Error }, 'not started');
    await close();
    process.exit(1);
  }
}

await main();
