import type { Heartbeat } from '../../contract/index.js';
import type { Backend } from '../base/backend.js';
import { isPassing, RollcallError } from '../base/errors.js';
import { linked } from '../base/linked.js';
import { sleep } from '../base/sleep.js';
import type { Settings } from '../base/options.js';

/** Why nobody beats any more. `unknown`: swept or removed, so it may register again. `superseded`: another process has the id, for good. */
export type BeatsEnd = 'unknown' | 'superseded' | 'stopped';

export interface KeepAlive {
  backend: Backend;
  settings: Pick<Settings, 'heartbeatIntervalMs' | 'log'>;
  instanceId: string;
  incarnation?: string;
  /** What the next heartbeat says. */
  beat: () => Heartbeat | Promise<Heartbeat>;
  /** Cuts the waiting short: there is something to say at once. */
  nudged?: () => AbortSignal;
  /** The store has it, as of the moment at which it was sent (performance.now()); unless `heard` is false, with what `beat` said. */
  renewed?: (sentAt: number, nextMs: number, heard?: boolean) => void;
  signal: AbortSignal;
}

/** After a try that was no use, in ms; the call itself has been repeated for as long as its time limit allows. */
const AGAIN_MS = 500;
/** What was refused for good, such as a token, is tried again as slowly as this: an operator may mend it while we run. */
const REFUSED_MS = 10_000;

/** Heartbeats, as often as the gateway asks, but at least every `heartbeatIntervalMs`; spread, for a fleet must not beat as one. */
export async function keepAlive({ backend, settings, instanceId, incarnation, beat, nudged, renewed, signal }: KeepAlive): Promise<BeatsEnd> {
  let waitMs = settings.heartbeatIntervalMs;
  let refused = false;
  while (!signal.aborted) {
    const either = linked([signal, nudged?.()]);
    await sleep(waitMs, either.signal).catch(() => undefined);
    either.over();
    if (signal.aborted) break;
    const said = refused ? {} : await beat();
    const sentAt = performance.now();
    try {
      const { nextHeartbeatMs } = await backend.beat({ instanceId, ...(incarnation !== undefined && { incarnation }), ...said });
      const nextMs = Math.min(nextHeartbeatMs, settings.heartbeatIntervalMs);
      renewed?.(sentAt, nextMs);
      refused = false;
      waitMs = nextMs * (0.9 + Math.random() / 10);
    } catch (error) {
      const code = error instanceof RollcallError ? error.code : undefined;
      if (code === 'instance_not_found') return 'unknown';
      if (code === 'stale_incarnation') return 'superseded';
      if (!isPassing(error)) settings.log.warn({ err: error, instanceId }, 'heartbeat refused');
      waitMs = isPassing(error) ? Math.max(error.details.retryAfterMs ?? 0, AGAIN_MS) * (0.9 + Math.random() / 5) : REFUSED_MS;
      if (code === 'invalid_request' && !refused) waitMs = 0; // what it said is wrong, and no reason to lose the lease
      refused = code === 'invalid_request';
    }
  }
  return 'stopped';
}
