import type { Instance } from '../../contract/index.js';
import type { Member } from '../table/group.js';
import { instanceJson } from '../log/record.js';
import type { PendingWrite } from './pending.js';

/** What this replica knows of an instance that the store may have lost. */
export interface RestoreEntry {
  instanceId: string;
  /** Id of the log entry that it is from: of two restore entries on one instance the later stands. */
  of: string;
  /** `missing`: write it where there is none. `over`: its last change was lost. `remove`: its departure was. */
  mode: 'missing' | 'over' | 'remove';
  instance: () => Instance;
}

export const instanceOf = (member: Member) => JSON.parse(instanceJson(member.record, member)) as Instance;

export const entryOf = (member: Member, mode: 'missing' | 'over'): RestoreEntry =>
  ({ instanceId: member.record.instanceId, of: member.of, mode, instance: () => instanceOf(member) });

/** The restore entry of a pending write. `before` is the instance without it; for a removal, `last` is the instance to remove. */
export function entryOfPending({ instanceId, at, effect }: PendingWrite, before: Instance | undefined, last = before): RestoreEntry | undefined {
  const after = effect(before);
  if (after) return { instanceId, of: at, mode: 'over', instance: () => after };
  return last && { instanceId, of: at, mode: 'remove', instance: () => last };
}
