import type { Logger } from 'pino';

/** While Redis is away at the start: a line each. */
const WAITING_LINE_MS = 10_000;
const WAITING_UNSAID_MS = 1000;
/** ioredis goes on with when it tries again, which changes each time and is no reason. */
const NO_SENTINEL = 'All sentinels are unreachable';

/** While Redis is away at the start: a line now and then, and the reason for `readyz`, without the address. */
export function waitingLines(where: string, log: Logger, tell: (reason: string) => void) {
  let toldAt = -Infinity;
  const from = performance.now();
  return (error: Error & { code?: string }) => {
    const err = error.message.startsWith(NO_SENTINEL) ? Object.assign(new Error(NO_SENTINEL), { code: 'SENTINELS_UNREACHABLE' }) : error;
    tell(err.code ?? (err.message.split(' ', 1)[0] as string));
    const now = performance.now();
    if (now - from < WAITING_UNSAID_MS || now - toldAt < WAITING_LINE_MS) return;
    toldAt = now;
    log.warn({ redis: where, err }, 'waiting for redis: not ready until it answers');
  };
}
