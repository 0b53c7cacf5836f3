import type { Instance } from '../../contract/index.js';
import { isDeparture, type Change } from '../log/change.js';
import type { Member } from '../table/group.js';
import { instanceJson } from '../log/record.js';
import { compareIds, msOfId } from '../revision.js';
import type { Table } from '../table/table.js';
import type { Pending } from './pending.js';
import { entryOf, entryOfPending, instanceOf, type RestoreEntry } from './restore-entry.js';

/** What is known when the store has lost something. */
export interface Known {
  table: Table;
  pending: Pending;
  /** Id of the last log entry that this replica and the store have in common; '' for none. */
  common: string;
  /** Changes that were read behind the common entry: the store has lost them. */
  tail: Change[];
  /** Departures of the tail from before this time all replicas know, and need not be told. */
  removedSinceMs: number;
  /** Of those that have not changed since the common entry: ids of which the store has no record. */
  missing: ReadonlySet<string>;
  /** Left to be restored from another loss just before. */
  left: Iterable<RestoreEntry>;
}

/** Its last change came behind the common entry, and was lost. */
const isLost = (common: string) => ({ of }: Member) => compareIds(of, common) > 0;

/** Those that the store should still have, unless their record has gone. */
export const keptMembers = ({ members }: Table, common: string) => [...members.values()].filter((member) => !isLost(common)(member));

/** What this replica has to restore; of several entries on one instance the last stands. */
export function planRestore({ table, pending, common, tail, removedSinceMs, missing, left }: Known): RestoreEntry[] {
  return [
    ...missingEntries(keptMembers(table, common), missing),
    ...[...table.members.values()].filter(isLost(common)).map((member) => entryOf(member, 'over')),
    ...left,
    ...departureEntries(table, tail, removedSinceMs),
    ...pendingEntries(pending, table, tail),
  ];
}

export const missingEntries = (members: Member[], missing: ReadonlySet<string>) =>
  members.filter(({ record }) => missing.has(record.instanceId)).map((member) => entryOf(member, 'missing'));

/** Departures that the log has lost, of those who did not come back. */
function departureEntries({ members }: Table, tail: Change[], sinceMs: number): RestoreEntry[] {
  const departures = tail.filter((change) => isDeparture(change) && msOfId(change.id) >= sinceMs && !members.has(change.record.instanceId));
  return departures.map((change) => ({ instanceId: change.record.instanceId, of: change.of ?? change.id, mode: 'remove', instance: () => departed(change) }));
}

const departed = ({ record }: Change) => JSON.parse(instanceJson(record, record)) as Instance;

/** What this replica acknowledged, and no other may have read. */
export function pendingEntries(pending: Pending, { members }: Table, tail: Change[]): RestoreEntry[] {
  return [...pending].flatMap((write) => {
    const member = members.get(write.instanceId);
    const before = member ? instanceOf(member) : undefined;
    const last = before ?? tail.filter(({ record }) => record.instanceId === write.instanceId).map(departed).at(-1);
    return entryOfPending(write, before, last) ?? [];
  });
}
