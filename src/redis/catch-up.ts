import { invalidField, RegistryError } from '../registry/errors.js';
import type { Freshness } from '../registry/queries.js';
import { compareIds, parseRevision, type Position } from '../registry/revision.js';
import type { View } from '../registry/view/view.js';
import { inTime } from './connect/deadline.js';
import { takePulse, type Pulse } from './log/pulse.js';
import { storeUnavailable } from './connect/store-error.js';
import type { Store } from './scripts/store.js';

/** How long a read waits for the view to come as far as it asks for. */
const CATCH_UP_MS = 1000;

/**
 * Waits until the view has what a read needs. Rejects with `store_unavailable` when that takes longer than a second, and with
 * `invalid_request` for a revision that is none, or lies beyond the head of the log.
 */
export function catchUpWith(store: Store, view: View): (need: Freshness) => Promise<void> {
  const askStore = askerOf(store);

  /** A position of the epoch in force. One that the store has not come to after a second either was never given to anybody. */
  async function reach(asked: Position) {
    try {
      await view.reached(asked, 0, CATCH_UP_MS);
    } catch (error) {
      const { epoch, head } = await askStore();
      if (epoch === asked.epoch && compareIds(asked.id, head) > 0) throw beyondTheLog();
      throw error;
    }
  }

  return async ({ minRevision, strong }) => {
    if (minRevision === undefined && !strong) return;
    const asked = minRevision === undefined ? undefined : parseRevision(minRevision);
    if (minRevision !== undefined && !asked) throw invalidField('?minRevision', 'must be a revision that this API gave');
    if (asked && !strong && asked.epoch === view.table.position.epoch) return reach(asked);
    const { epoch, head, nowMs } = await askStore();
    // A watermark of the same millisecond may come from a read before this call.
    await view.reached({ epoch, id: head }, nowMs + 1, CATCH_UP_MS);
  };
}

const beyondTheLog = () => invalidField('?minRevision', 'must be a revision that this API gave: the log has not come so far');

/** Asks for the head of the log and the time, once for all who need it in one turn, and at its end: after all of them came. */
function askerOf({ connection, scripts }: Store): () => Promise<Pulse> {
  let asking: Promise<Pulse> | undefined;
  const ask = () =>
    new Promise<Pulse>((resolve, reject) => {
      setImmediate(() => {
        asking = undefined;
        inTime(takePulse(connection, scripts)).then(resolve, reject);
      });
    });
  return async () => {
    try {
      return await (asking ??= ask());
    } catch (error) {
      throw error instanceof RegistryError ? error : storeUnavailable(error);
    }
  };
}
