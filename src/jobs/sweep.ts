import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import type { Maintenance } from '../registry/maintenance.js';

export interface SweepObserver {
  swept: (result: { evicted: number; rescored: number; seconds: number }) => void;
  failed: () => void;
  reconciled: (result: { removed: number; adopted: number }) => void;
}

/** Between batches: Redis serves everyone else meanwhile. */
const PAUSE_MS = 5;
/** Evictions of one tick that have a line each; when thousands leave at once they are in the log of changes, and counted here. */
const LINES_A_TICK = 20;
/** One job ends before its lock does, whatever there is to do; the next tick goes on. */
const BUDGET_MS = 5000;

/**
 * One tick: evicts what has ended, batch by batch, and now and then reconciles. It may run twice or on two replicas at
 * once: the scripts behind it make the effect happen once.
 */
export async function runSweep(registry: Maintenance, reconcileIntervalMs: number, observer: SweepObserver, log: Logger) {
  const startedAt = performance.now();
  const elapsedMs = () => performance.now() - startedAt;
  try {
    const total = { evicted: 0, rescored: 0, held: 0 };
    for (let more = true; more && elapsedMs() < BUDGET_MS; ) {
      const batch = await registry.sweep(total.held);
      more = batch.more;
      total.rescored += batch.rescored;
      total.held += batch.held;
      for (const member of batch.evicted) if (total.evicted++ < LINES_A_TICK) log.info(naming(member), 'evicted');
      if (more) await sleep(PAUSE_MS);
    }
    if (total.evicted > LINES_A_TICK) log.info({ evicted: total.evicted - LINES_A_TICK }, 'evicted more: GET /sd/v1/events?kind=expired names them');
    observer.swept({ ...total, seconds: elapsedMs() / 1000 });

    if (await registry.claimReconcile(reconcileIntervalMs)) {
      const { removed, adopted } = await registry.reconcile(AbortSignal.timeout(BUDGET_MS));
      for (const member of adopted) log.info(naming(member), 'adopted a hand-written instance');
      if (removed > 0) log.info({ removed }, 'removed hand-written ghosts');
      observer.reconciled({ removed, adopted: adopted.length });
    }
    return total;
  } catch (error) {
    observer.failed();
    throw error;
  }
}

function naming(member: string) {
  const [type, group, instanceId] = member.split(':');
  return { type, group, instanceId };
}
