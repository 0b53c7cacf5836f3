import type { Logger } from 'pino';
import { countChanges, type Metrics } from './http/metrics/metrics.js';
import type { SweepObserver } from './jobs/sweep.js';
import type { ReaderObserver } from './redis/follow/reader-options.js';
import type { Standing } from './redis/connect/standing.js';
import type { Change } from './registry/log/change.js';

/** What the reader of the log meets, counted and told. `ready` is called once, when the registry has been read for the first time. */
export function readerObserver(metrics: Metrics, standing: Standing, log: Logger, ready: () => void): ReaderObserver {
  const changed = countChanges(metrics);
  let loaded = false;
  return {
    reachable: (reachable) => {
      metrics.redisReachable.set(reachable ? 1 : 0);
      if (reachable) standing.answered();
    },
    applied: (change) => {
      changed(change.kind ?? 'unknown');
      if (change.hold) logHold(change, log);
    },
    loaded: (reason) => {
      metrics.reloads.labels(reason).inc();
      if (!loaded) ready();
      loaded = true;
    },
    recovered: () => metrics.recoveries.inc(),
    diverged: (reason) => metrics.divergences.labels(reason).inc(),
  };
}

/** The event of that night: each replica tells it as it reads it. */
function logHold({ kind, cause, by, hold, record: { type, group } }: Change, log: Logger) {
  const { late, members, untilMs } = hold as NonNullable<Change['hold']>;
  if (kind === 'held') log.warn({ type, group, cause, late, members, until: new Date(untilMs).toISOString() }, 'group held: most of it fell silent at once, nobody of it is evicted until then');
  else log.warn({ type, group, cause, by, late, members }, 'group released: whoever is past its lease leaves now');
}

export function sweepObserver(metrics: Metrics): SweepObserver {
  return {
    swept: ({ evicted, rescored, seconds }) => {
      metrics.sweeps.labels('done').inc();
      metrics.sweepSeconds.observe(seconds);
      metrics.lastSweep.setToCurrentTime();
      metrics.evictions.inc(evicted);
      metrics.rescored.inc(rescored);
    },
    failed: () => metrics.sweeps.labels('failed').inc(),
    reconciled: ({ removed, adopted }) => {
      metrics.reconciled.labels('removed').inc(removed);
      metrics.reconciled.labels('adopted').inc(adopted);
    },
  };
}
