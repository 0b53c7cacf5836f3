import { compareIds } from '../registry/revision.js';
import type { Source } from './load.js';
import { decodeChange } from './log-entry.js';
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
