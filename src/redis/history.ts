import { withinScope, type Change } from '../registry/change.js';
import type { HistoryQuery } from '../registry/queries.js';
import type { History } from '../registry/registry.js';
import { compareIds, type Position } from '../registry/revision.js';
import { asksFor } from '../registry/scope.js';
import { decodeChange, type Entry } from './log-entry.js';
import { takePulse } from './pulse.js';
import type { Store } from './store.js';

const CHUNK = 500;
/** Entries looked through for one page: a filter that nothing matches must not read the whole log in one request. */
const LOOKED_AT = 5000;

/** One page of the log of changes, read from Redis: it goes further back than what replicas keep in memory. */
export async function readHistory(store: Store, query: HistoryQuery): Promise<History> {
  const { epoch, head } = await takePulse(store.connection, store.scripts);
  const { after, before } = query;
  const changes: Change[] = [];
  let at = (after ?? before)?.id;
  const gap = after !== undefined && (after.epoch !== epoch || (compareIds(after.id, head) < 0 && !(await isInLog(store, after.id))));
  for (let looked = 0; looked < LOOKED_AT; ) {
    const entries = await page(store, after !== undefined, at);
    looked += entries.length;
    for (const entry of entries) {
      const change = decodeChange(entry, epoch);
      at = entry[0];
      if (!change || !isAsked(query, change)) continue;
      changes.push(withinScope(change, query.scope));
      if (changes.length === query.limit) return { epoch, changes, next: at, gap };
    }
    if (entries.length < CHUNK) return { epoch, changes, next: undefined, gap };
  }
  return { epoch, changes, next: at, gap };
}

/**
 * The changes after this id, oldest first, at most a few hundred; undefined when the log no longer goes on from it.
 * An empty list means that it is the last one.
 */
export async function changesAfter(store: Store, { epoch, id }: Position): Promise<Change[] | undefined> {
  const entries = await page(store, true, id);
  const changes = entries.flatMap((entry) => decodeChange(entry, epoch) ?? []);
  const [first] = changes;
  if (first ? first.prev !== id : !(await isInLog(store, id))) return undefined;
  return changes;
}

function page({ connection, keys }: Store, forward: boolean, at: string | undefined): Promise<Entry[]> {
  return forward
    ? connection.xrange(keys.events, at === undefined || at === '' ? '-' : `(${at}`, '+', 'COUNT', CHUNK)
    : at === '' ? Promise.resolve([]) : connection.xrevrange(keys.events, at === undefined ? '+' : `(${at}`, '-', 'COUNT', CHUNK);
}

/** The position is an entry of the log, or lies before the first that there ever was. */
async function isInLog({ connection, keys }: Store, id: string): Promise<boolean> {
  if (id !== '') return (await connection.xrange(keys.events, id, id)).length > 0;
  const [first] = await connection.xrange(keys.events, '-', '+', 'COUNT', 1);
  return first === undefined || decodeChange(first, '')?.prev === '';
}

function isAsked(query: HistoryQuery, { kind, record }: Change): boolean {
  const { instanceId, kinds } = query;
  if (kind === undefined || (kinds && !kinds.includes(kind))) return false;
  return (instanceId ?? record.instanceId) === record.instanceId && asksFor(query, record);
}
