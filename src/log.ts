import { pino, type Logger } from 'pino';

/** Where lines go: words on a terminal, JSON elsewhere. */
export interface Output {
  isTTY?: boolean;
  write: (text: string) => unknown;
}

/** What Redis, the system or Node itself refuse is expected now and then: where in our code that was met helps nobody. */
const isExpected = (error: Error) => 'code' in error || error.name === 'ReplyError' || error.stack === undefined;

function errorFields(error: unknown) {
  if (!(error instanceof Error)) return error;
  const { name: type, message, stack } = error;
  const code = (error as NodeJS.ErrnoException).code;
  return { type, message, ...(code && { code }), ...(!isExpected(error) && { stack }) };
}

/** The log: ISO time and the level as a word, so that a collector and a person understand both. */
export function createLog(level: string, output: Output = process.stdout): Logger {
  const options = {
    level,
    base: { service: 'rollcall', pid: process.pid },
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label: string) => ({ level: label }) },
    serializers: { err: errorFields },
    redact: ['req.headers["x-api-token"]', 'req.headers.authorization', 'req.headers.cookie'],
  };
  if (output.isTTY) return pino(options, { write: (line) => void output.write(readable(line)) });
  return output === process.stdout ? pino(options) : pino(options, { write: (line) => void output.write(line) });
}

const HIDDEN = ['time', 'level', 'msg', 'service', 'pid', 'err'];

/** One line of the log in words, for a terminal. */
export function readable(line: string): string {
  const fields = JSON.parse(line) as Record<string, unknown> & { time: string; level: string; msg?: string; err?: { message?: string; stack?: string } };
  const { time, level, msg = '', err } = fields;
  const rest = Object.entries(fields).filter(([name]) => !HIDDEN.includes(name)).map(([name, value]) => `${name}=${typeof value === 'string' ? value : JSON.stringify(value)}`);
  const why = err?.message === undefined ? '' : ` (${err.message})`;
  const stack = err?.stack === undefined ? '' : `\n${err.stack}`;
  return `${[time.slice(11, 19), level.toUpperCase().padEnd(5), `${msg}${why}`, ...rest].join('  ')}${stack}\n`;
}

/**
 * What libraries print past the log becomes lines of it, each once: ioredis and BullMQ repeat theirs for every connection.
 * What is said by a line of ours is left out.
 */
export function catchPrints(log: Logger, target: Pick<Console, 'warn' | 'error'> = console) {
  const seen = new Set<string>();
  const tell = (...words: unknown[]) => {
    const text = words.map(String).join(' ').trim();
    if (seen.has(text) || text.startsWith('IMPORTANT! Eviction policy')) return; // open-store.ts warns of that
    if (seen.size < 100) seen.add(text);
    log.warn({ text }, 'a library warns');
  };
  target.warn = target.error = tell;
}
