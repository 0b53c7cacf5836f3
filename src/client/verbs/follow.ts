import type { WatchMessage } from '../../registry/registry.js';
import type { WatchQuery } from '../../registry/queries.js';
import type { Backend } from '../base/backend.js';
import { isPassing, RollcallError } from '../base/errors.js';
import { sleep } from '../base/sleep.js';
import type { ClientLog } from '../base/options.js';

/** Before a stream that ended is opened again, in ms: doubled while it cannot be, and spread, for all of a fleet come back at once. */
const AGAIN_MS = 250;
const MAX_AGAIN_MS = 8000;
/** What will not mend itself, such as a token that was withdrawn, is tried again as slowly as this: an operator may mend it. */
const REFUSED_MS = 30_000;

export interface FollowEvents {
  /** The stream is up, or down, and why. */
  connected?: (connected: boolean, reason?: unknown) => void;
}

/**
 * A watch that goes on for ever: it comes back with the last position, to whichever gateway answers, so every change is told, in order,
 * once; or `reset` comes first, and a snapshot. Ends when `signal` aborts.
 */
export async function* follow(backend: Backend, query: WatchQuery, signal: AbortSignal, log: ClientLog, events: FollowEvents = {}): AsyncGenerator<WatchMessage> {
  let from: string | undefined;
  let failures = 0;
  while (!signal.aborted) {
    let reason: unknown;
    try {
      const opened = () => {
        failures = 0;
        events.connected?.(true);
      };
      for await (const message of backend.watch(query, from, signal, opened)) {
        if (message.id !== undefined) from = message.id;
        yield message;
      }
    } catch (error) {
      reason = error;
    }
    if (signal.aborted) return;
    events.connected?.(false, reason);
    if (failures++ === 0 && reason !== undefined) log.warn({ err: reason, ...query }, 'watch interrupted: coming back');
    const refused = reason instanceof RollcallError && !isPassing(reason);
    const pause = refused ? REFUSED_MS : Math.min(MAX_AGAIN_MS, AGAIN_MS * 2 ** Math.min(failures, 10));
    await sleep(pause * (0.5 + Math.random() / 2), signal).catch(() => undefined);
  }
}
