import { withinScope, type Change } from '../../registry/log/change.js';
import { RegistryError } from '../../registry/errors.js';
import type { HistoryQuery, WatchQuery } from '../../registry/queries.js';
import type { History } from '../../registry/served/served-registry.js';
import { compareIds, type Position } from '../../registry/revision.js';
import { asksFor, inScope } from '../../registry/scope.js';
import { decodeChange } from './log-entry.js';
import { lookAt, type LogLine, type Look } from './log-look.js';
import { takePulse } from './pulse.js';
import type { Store } from '../scripts/store.js';

/** Entries looked at in one call, 1 to 2 ms of Redis; of a page's first, as many as are asked for, but so many at least. */
const CHUNK = 100;
const FIRST_CHUNK = 50;
/** Entries looked through for one page: a filter that nothing matches must not read the whole log in one request. */
const LOOKED_AT = 5000;
/** Bytes of records in one page, the first not counted. */
const PAGE_BYTES = 4 * 1024 * 1024;
/** Who looks back at the same time in one process, and how many more wait for their turn. */
const AT_ONCE = 2;
const WAITING = 100;
/** Watchers that come back together have the same gap: a chunk is read once for all who ask for it within this time. */
const SHARED_MS = 1000;
const CHUNKS_SHARED = 8;

/** The log as far as the stream goes back, which is further than what replicas keep in memory. Few look at the same time: each costs a chunk of entries. */
export class LookBack {
  readonly #shared = new Map<string, { at: number; lines: Promise<LogLine[]> }>();
  readonly #queue: (() => void)[] = [];
  #looking = 0;

  /** The store with a connection of its own: heartbeats do not wait behind chunks of the log. */
  constructor(private readonly store: Store) {}

  /** One page of the log of changes. @throws {RegistryError} overloaded when a hundred wait already. */
  async page(query: HistoryQuery): Promise<History> {
    await this.#enter();
    try {
      return await this.#page(query);
    } finally {
      this.#leave();
    }
  }

  /**
   * What a watcher of this query missed after this position, oldest first, out of a few hundred entries, and the id of the last of
   * those; undefined when the log no longer goes on from there, or has nothing behind it.
   */
  async changesAfter({ epoch, id }: Position, query: WatchQuery): Promise<{ changes: Change[]; last: string } | undefined> {
    await this.#enter();
    try {
      const lines = (await this.#chunkAfter(`${epoch}.${id}`, id)).filter(({ fields: { prev, kind } }) => prev !== undefined && kind !== undefined);
      const [first, last] = [lines[0], lines.at(-1)];
      if (!first || !last || first.fields.prev !== id) return undefined;
      return { changes: lines.filter(({ fields }) => concerns(query, fields)).flatMap((line) => line.changeOf(epoch) ?? []), last: last.id };
    } finally {
      this.#leave();
    }
  }

  async #page(query: HistoryQuery): Promise<History> {
    const { connection, scripts } = this.store;
    const { epoch, head } = await takePulse(connection, scripts);
    const { after, before } = query;
    const changes: Change[] = [];
    let [at, bytes] = [(after ?? before)?.id, 0];
    const gap = after !== undefined && (after.epoch !== epoch || (compareIds(after.id, head) < 0 && !(await isInLog(this.store, after.id))));
    for (let looked = 0; looked < LOOKED_AT; ) {
      const chunk = await readChunk(this.store, query, at, looked === 0 ? Math.min(CHUNK, Math.max(FIRST_CHUNK, query.limit)) : CHUNK);
      looked += chunk.looked;
      for (const line of chunk.lines) {
        const change = mayBeTold(query, line.fields) ? line.changeOf(epoch) : undefined;
        if (change?.kind !== undefined) {
          bytes += change.record.head.length;
          if (changes.length > 0 && bytes > PAGE_BYTES) return { epoch, changes, next: at, gap };
          changes.push(withinScope(change, query.scope));
        }
        at = line.id;
        if (changes.length === query.limit) return { epoch, changes, next: at, gap };
      }
      if (chunk.ended) return { epoch, changes, next: undefined, gap };
      at = chunk.at;
    }
    return { epoch, changes, next: at, gap };
  }

  #chunkAfter(key: string, id: string): Promise<LogLine[]> {
    const now = performance.now();
    for (const [old, { at }] of this.#shared) if (now - at > SHARED_MS || this.#shared.size > CHUNKS_SHARED) this.#shared.delete(old);
    const shared = this.#shared.get(key);
    if (shared) return shared.lines;
    const lines = lookAt(this.store, 'after', id, CHUNK).then((chunk) => chunk.lines);
    this.#shared.set(key, { at: now, lines });
    lines.catch(() => this.#shared.delete(key));
    return lines;
  }

  async #enter() {
    if (this.#looking < AT_ONCE) return void this.#looking++;
    if (this.#queue.length >= WAITING) throw new RegistryError('overloaded', `${WAITING} wait to look back in this replica already: try again`);
    await new Promise<void>((resume) => this.#queue.push(resume)); // whose place it is given
  }

  #leave() {
    const next = this.#queue.shift();
    if (next) next();
    else this.#looking--;
  }
}

/** The end of what is latest first is the first entry there ever was, whose position is ''. */
function readChunk(store: Store, { after, ...wanted }: HistoryQuery, at: string | undefined, count: number): Promise<Look> {
  if (!after && at === '') return Promise.resolve({ looked: 0, at: '', ended: true, lines: [] });
  return lookAt(store, after ? 'after' : 'before', at ?? '', count, wanted);
}

/** The position is an entry of the log, or lies before the first that there ever was. */
async function isInLog({ connection, keys }: Store, id: string): Promise<boolean> {
  if (id !== '') return (await connection.xrange(keys.events, id, id)).length > 0;
  const [first] = await connection.xrange(keys.events, '-', '+', 'COUNT', 1);
  return first === undefined || decodeChange(first, '')?.prev === '';
}

type Fields = Record<string, string | undefined>;

/** What the script does not look at: decoding an entry takes twenty times as long. */
const mayBeTold = ({ scope }: HistoryQuery, { prev, type = '', group = '' }: Fields) => prev !== undefined && inScope(scope, { type, group });

/** Whether a watcher may be told of it: for its home, or for the one that it left. */
const concerns = (query: WatchQuery, { type = '', group = '', fromType, fromGroup }: Fields) =>
  asksFor(query, { type, group }) || (fromType !== undefined && fromGroup !== undefined && asksFor(query, { type: fromType, group: fromGroup }));
