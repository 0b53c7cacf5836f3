import { compareIds } from '../../registry/revision.js';
import type { Ring } from '../../registry/log/ring.js';
import { decodeChange, type Entry } from '../log/log-entry.js';
import { takePulse } from '../log/pulse.js';
import type { Source } from '../scripts/store.js';

/** `lag`: the log was trimmed past what was read. `loss`: what was read is not in it, so Redis has lost it. */
export type Break = 'lag' | 'loss';

/** Why the log does not go on behind `position`, within one epoch. */
export async function breakOf({ connection, keys, scripts }: Source, position: string): Promise<Break> {
  if (position === '' || (await connection.xrange(keys.events, position, position)).length > 0) return 'lag';
  const [first] = await connection.xrange(keys.events, '-', '+', 'COUNT', 1);
  if (!first) return compareIds(position, (await takePulse(connection, scripts)).head) < 0 ? 'lag' : 'loss'; // trimmed to nothing
  const trimmed = decodeChange(first, '')?.prev !== '';
  return trimmed && compareIds(position, first[0]) < 0 ? 'lag' : 'loss';
}

/** Entries looked at in one go. */
const CHUNK = 100;

/**
 * The last entry of the log that this replica knows: everything behind it is news, everything up to it is not, even in a log that
 * has gone back. '' when it knows none. Undefined when that cannot be said, because the log was trimmed since. Entries behind the
 * beginning (`from`) of an epoch that this replica has never read are news, whatever their ids: another clock may have made them.
 */
export async function lastKnown({ connection, keys }: Source, memory: Ring, { epoch, from }: { epoch: string; from: string | null }): Promise<string | undefined> {
  const changes = memory.since(memory.first);
  const known = new Set(changes.map(({ id }) => id));
  let unread = from !== null && !changes.some((change) => change.epoch === epoch);
  const oldest = memory.at(memory.first)?.id;
  for (let [end, first]: [string, Entry | undefined] = ['+', undefined]; ; ) {
    const entries = await connection.xrevrange(keys.events, end, '-', 'COUNT', CHUNK);
    for (const [id] of entries) {
      if (id === from) unread = false; // from here on it is the log as it was before
      if (known.has(id) || (!unread && oldest !== undefined && compareIds(id, oldest) < 0)) return id;
    }
    first = entries.at(-1) ?? first;
    if (!first) return '';
    if (entries.length < CHUNK) return decodeChange(first, '')?.prev === '' ? '' : undefined;
    end = `(${first[0]}`;
  }
}
