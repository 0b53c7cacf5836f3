import { compareIds } from '../registry/revision.js';
import type { Ring } from '../registry/ring.js';
import type { Source } from './load.js';
import { decodeChange, type Entry } from './log-entry.js';
import { takePulse } from './pulse.js';

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
 * has gone back. '' when it knows none. Undefined when that cannot be said, because the log was trimmed since.
 */
export async function lastKnown({ connection, keys }: Source, memory: Ring): Promise<string | undefined> {
  const known = new Set(memory.since(memory.first).map(({ id }) => id));
  const oldest = memory.at(memory.first)?.id;
  for (let [end, first]: [string, Entry | undefined] = ['+', undefined]; ; ) {
    const entries = await connection.xrevrange(keys.events, end, '-', 'COUNT', CHUNK);
    const found = entries.find(([id]) => known.has(id) || (oldest !== undefined && compareIds(id, oldest) < 0));
    if (found) return found[0];
    first = entries.at(-1) ?? first;
    if (!first) return '';
    if (entries.length < CHUNK) return decodeChange(first, '')?.prev === '' ? '' : undefined;
    end = `(${first[0]}`;
  }
}
