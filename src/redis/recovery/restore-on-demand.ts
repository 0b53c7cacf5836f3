import { incarnationOf } from '../../registry/log/record.js';
import { entryOf, entryOfPending, type RestoreEntry } from '../../registry/recovery/restore-entry.js';
import type { Missed } from '../../registry/served/second-opinion.js';
import type { View } from '../../registry/view/view.js';
import { inTime } from '../connect/deadline.js';
import { oneBatch, restore } from './restore.js';
import type { Store } from '../scripts/store.js';
import { storeUnavailable } from '../connect/store-error.js';

/**
 * Gives the store those of these instances that the view still has, as the same incarnation: it has lost them. The view must have read
 * everything before, or what was just removed would come back. Resolves to their ids.
 * @throws {RegistryError} store_unavailable
 */
export async function giveBack(store: Store, view: View, missed: Missed[]): Promise<Set<string>> {
  const entries = missed.flatMap((one) => entryOn(view, one) ?? []);
  const { position } = view.table;
  try {
    for (let from = 0, batch: RestoreEntry[]; from < entries.length; from += batch.length) {
      batch = oneBatch(entries.slice(from));
      await inTime(restore(store, position, batch));
    }
  } catch (error) {
    throw storeUnavailable(error);
  }
  return new Set(entries.map(({ instanceId }) => instanceId));
}

function entryOn({ table, pending }: View, { instanceId, incarnation, lapsedToo }: Missed): RestoreEntry | undefined {
  const [member, write] = [table.members.get(instanceId), pending.get(instanceId)];
  if (!member) return write && entryOfPending(write, undefined); // everything is read, and this is not among it
  return incarnationOf(member.record) === incarnation && (lapsedToo || member.standing !== 'lapsed') ? entryOf(member, 'missing') : undefined;
}
