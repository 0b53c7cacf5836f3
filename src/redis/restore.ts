import type { Instance } from '../contract/index.js';
import type { Member } from '../registry/group.js';
import type { PendingWrite } from '../registry/pending.js';
import { instanceJson } from '../registry/record.js';
import type { Position } from '../registry/revision.js';
import { encodeInstance } from './codec.js';
import type { Source } from './load.js';

/** A replica's word on an instance that the store may have lost. */
export interface Word {
  instanceId: string;
  /** Id of the entry that it is from: of two words the later one stands. */
  of: string;
  /** `missing`: write it where there is none. `over`: its last change was lost. `remove`: its departure was. */
  mode: 'missing' | 'over' | 'remove';
  instance: () => Instance;
}

export const instanceOf = (member: Member) => JSON.parse(instanceJson(member.record, { ...member, suspect: false })) as Instance;

export const wordOf = (member: Member, mode: 'missing' | 'over'): Word =>
  ({ instanceId: member.record.instanceId, of: member.of, mode, instance: () => instanceOf(member) });

/** The word on what was acknowledged and not read, given the instance before it. A removal needs to know whom: `last`. */
export function wordOnPending({ instanceId, at, effect }: PendingWrite, before: Instance | undefined, last = before): Word | undefined {
  const after = effect(before);
  if (after) return { instanceId, of: at, mode: 'over', instance: () => after };
  return last && { instanceId, of: at, mode: 'remove', instance: () => last };
}

/** Words in one script call, and letters in them: it blocks Redis while it runs. */
const WORDS_PER_CALL = 200;
const LETTERS_PER_CALL = 500_000;

/** As many of the first words as one call takes. */
export function wordsOfOneCall(words: Iterable<Word>): Word[] {
  const first: Word[] = [];
  let letters = 0;
  for (const word of words) {
    if (first.push(word) === WORDS_PER_CALL) break;
    letters += encodeInstance(word.instance()).reduce((sum, text) => sum + text.length, 0);
    if (letters > LETTERS_PER_CALL) break;
  }
  return first;
}

/**
 * Gives Redis these words, by lua/restore.lua; one that somebody else has had the later say on is passed over. Unless it is
 * `done`, nothing was: the log goes on far `behind` the position, or from another position or epoch, and has to be read first.
 */
export async function restore({ connection, scripts }: Source, { epoch, id }: Position, words: Word[], speaker = ''): Promise<'done' | 'behind' | 'epoch' | 'position'> {
  const args = words.flatMap(({ instanceId, of, mode, instance }) => {
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
  for (let from = 0; from < ids.length; from += WORDS_PER_CALL) {
    const asked = ids.slice(from, from + WORDS_PER_CALL);
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
