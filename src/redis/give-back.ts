import { incarnationOf } from '../registry/record.js';
import type { View } from '../registry/view.js';
import { inTime } from './deadline.js';
import { restore, wordOf, wordOnPending, wordsOfOneCall, type Word } from './restore.js';
import type { Store } from './store.js';
import { storeUnavailable } from './store-error.js';

/** An instance that the store does not know, or as another process than this. */
export interface Missed {
  instanceId: string;
  incarnation: string;
  /** One past its lease too: a heartbeat renews it, a patch does not. */
  lapsedToo: boolean;
}

/**
 * Gives the store those of these instances that the view still has, as the same incarnation: it has lost them. The view must have read
 * everything before, or what was just removed would come back. Resolves to their ids.
 * @throws {RegistryError} store_unavailable
 */
export async function giveBack(store: Store, view: View, missed: Missed[]): Promise<Set<string>> {
  const words = missed.flatMap((one) => wordOn(view, one) ?? []);
  const { position } = view.table;
  try {
    for (let from = 0, call: Word[]; from < words.length; from += call.length) {
      call = wordsOfOneCall(words.slice(from));
      await inTime(restore(store, position, call));
    }
  } catch (error) {
    throw storeUnavailable(error);
  }
  return new Set(words.map(({ instanceId }) => instanceId));
}

function wordOn({ table, pending }: View, { instanceId, incarnation, lapsedToo }: Missed): Word | undefined {
  const [member, write] = [table.members.get(instanceId), pending.get(instanceId)];
  if (!member) return write && wordOnPending(write, undefined); // everything is read, and this is not among it
  return incarnationOf(member.record) === incarnation && (lapsedToo || !member.lapsed) ? wordOf(member, 'missing') : undefined;
}
