import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Entry } from './log-entry.js';

/** Letters decoded and applied in one turn of the event loop: some milliseconds, whatever an entry holds. */
const LETTERS = 128 * 1024;

export const lettersOf = ([, flat]: Entry) => flat.reduce((sum, text) => sum + text.length, 0);

/** Entries in slices that never hold the event loop for long, a turn apart: 250 entries may be a few kilobytes or fifty megabytes. */
export async function* inSlices(entries: Entry[]): AsyncGenerator<Entry[]> {
  for (let from = 0; from < entries.length; ) {
    let to = from;
    for (let letters = 0; to < entries.length && letters < LETTERS; to++) letters += lettersOf(entries[to] as Entry);
    yield entries.slice(from, to);
    from = to;
    if (from < entries.length) await nextTurn();
  }
}
