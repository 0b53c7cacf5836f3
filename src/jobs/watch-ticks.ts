import type { Logger } from 'pino';

/** Longer than the queue needs to run a killed worker's tick again: then something is wrong that somebody should see to. */
const SILENT_MS = 12_000;
/** One tick, looked at twice, by the clock of Redis and by ours. */
const SAME_MS = 50;

export interface Ticks {
  everyMs: number;
  tick: () => Promise<unknown>;
  /** How long ago any replica began a tick; undefined when nobody can tell. */
  tickedAgoMs: () => number | undefined;
  log: Logger;
}

/**
 * The queue is only a way to sweep once, by the clocks of gateways, one of which may be wrong; and it may fail while Redis answers
 * (a full Redis refuses BullMQ's scripts, a worker may hang after an outage). When no sweep has begun for half an interval more than
 * it should by the clock of Redis, a replica sweeps by itself, and with that the others need not. The effect is still once.
 *
 * Ticks of the queue come in time and those of replicas by themselves do not: so each can tell that the queue is silent, whichever
 * of them sweeps.
 */
export function watchTicks({ everyMs, tick, tickedAgoMs, log }: Ticks): NodeJS.Timeout {
  const inTimeMs = everyMs + Math.max(500, everyMs / 2);
  const lateMs = inTimeMs + everyMs / 8 + (Math.random() * everyMs) / 8; // by chance, or all would begin at once
  const silentMs = Math.max(SILENT_MS, 3 * everyMs);
  let running = false;
  let [tickedAt, queuedAt, warnedAt] = [-Infinity, performance.now(), -Infinity];
  return setInterval(() => {
    const ago = tickedAgoMs();
    if (ago === undefined) return;
    const now = performance.now();
    const at = now - ago;
    if (at - tickedAt > SAME_MS) {
      if (at - tickedAt < inTimeMs) queuedAt = at;
      tickedAt = at;
    }
    if (running || ago < lateMs) return;
    running = true;
    if (now - queuedAt >= silentMs && now - warnedAt >= silentMs) {
      warnedAt = now;
      log.warn({ silentMs: Math.round(now - queuedAt) }, 'jobs: the queue is silent, sweeping without it');
    }
    void tick()
      .catch(() => undefined) // counted by the tick itself
      .finally(() => (running = false));
  }, Math.min(1000, everyMs / 4));
}
