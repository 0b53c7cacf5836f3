import type { RestoreEntry } from '../../registry/recovery/restore-entry.js';
import type { Position } from '../../registry/revision.js';
import { encodeInstance } from '../scripts/codec.js';
import type { Source } from '../scripts/store.js';

/** Entries in one script call, and letters in them: it blocks Redis while it runs. */
const ENTRIES_PER_CALL = 200;
const LETTERS_PER_CALL = 500_000;

/** As many of the first entries as one call takes. */
export function oneBatch(entries: Iterable<RestoreEntry>): RestoreEntry[] {
  const first: RestoreEntry[] = [];
  let letters = 0;
  for (const entry of entries) {
    if (first.push(entry) === ENTRIES_PER_CALL) break;
    letters += encodeInstance(entry.instance()).reduce((sum, text) => sum + text.length, 0);
    if (letters > LETTERS_PER_CALL) break;
  }
  return first;
}

/**
 * Restores these entries, by lua/restore.lua; one on which another replica has had the later say is passed over. Unless it is
 * `done`, nothing was: the log goes on far `behind` the position, or from another position or epoch, and has to be read first.
 * `speaker` is the name of a replica that claimed; without entries it says that it has restored all that it knew.
 */
export async function restore({ connection, scripts }: Source, { epoch, id }: Position, entries: RestoreEntry[], speaker = ''): Promise<'done' | 'behind' | 'epoch' | 'position'> {
  const args = entries.flatMap(({ instanceId, of, mode, instance }) => {
    const given = instance();
    const flat = [instanceId, of, given.ttlSeconds * 1000, mode, ...encodeInstance(given)];
    return [flat.length, ...flat];
  });
  const [outcome] = (await scripts.run(connection, 'restore', [epoch, id, speaker, ...args])) as ['done' | 'behind' | 'epoch' | 'position'];
  return outcome;
}

/** Which of these ids Redis has no record of. */
export async function findMissing({ connection, keys }: Source, ids: string[]): Promise<Set<string>> {
  const missing = new Set<string>();
  for (let from = 0; from < ids.length; from += ENTRIES_PER_CALL) {
    const asked = ids.slice(from, from + ENTRIES_PER_CALL);
    const pipeline = connection.pipeline();
    for (const id of asked) pipeline.exists(keys.record(id));
    const replies = (await pipeline.exec()) ?? [];
    asked.forEach((id, i) => {
      const [error, found] = replies[i] ?? [new Error('no reply'), 0];
      if (error) throw error;
      if (found === 0) missing.add(id);
    });
  }
  return missing;
}
