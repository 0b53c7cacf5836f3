import { withinScope, type Change } from '../registry/change.js';
import { RegistryError } from '../registry/errors.js';
import type { HistoryQuery, WatchQuery } from '../registry/queries.js';
import type { History } from '../registry/registry.js';
import { compareIds, type Position } from '../registry/revision.js';
import { asksFor } from '../registry/scope.js';
import { decodeChange, type Entry } from './log-entry.js';
import { takePulse } from './pulse.js';
import type { Store } from './store.js';

/** Entries read at once. */
const CHUNK = 200;
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

/** An entry of the log, decoded when somebody wants it. */
class LogLine {
  readonly id: string;
  readonly fields: Record<string, string | undefined> = {};
  #change: Change | undefined;

  constructor(private readonly entry: Entry) {
    this.id = entry[0];
    const [, flat] = entry;
    for (let i = 0; i < flat.length; i += 2) this.fields[flat[i] as string] = flat[i + 1];
  }

  /** Undefined for what somebody wrote by hand. */
  changeOf(epoch: string): Change | undefined {
    this.#change ??= decodeChange(this.entry, epoch);
    return this.#change && (this.#change.epoch === epoch ? this.#change : { ...this.#change, epoch });
  }
}

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
      const lines = await chunk(this.store, after !== undefined, at);
      looked += lines.length;
      for (const line of lines) {
        const change = isAsked(query, line.fields) ? line.changeOf(epoch) : undefined;
        if (change?.kind !== undefined) {
          bytes += change.record.head.length;
          if (changes.length > 0 && bytes > PAGE_BYTES) return { epoch, changes, next: at, gap };
          changes.push(withinScope(change, query.scope));
        }
        at = line.id;
        if (changes.length === query.limit) return { epoch, changes, next: at, gap };
      }
      if (lines.length < CHUNK) return { epoch, changes, next: undefined, gap };
    }
    return { epoch, changes, next: at, gap };
  }

  #chunkAfter(key: string, id: string): Promise<LogLine[]> {
    const now = performance.now();
    for (const [old, { at }] of this.#shared) if (now - at > SHARED_MS || this.#shared.size > CHUNKS_SHARED) this.#shared.delete(old);
    const shared = this.#shared.get(key);
    if (shared) return shared.lines;
    const lines = chunk(this.store, true, id);
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

async function chunk({ connection, keys }: Store, forward: boolean, at: string | undefined): Promise<LogLine[]> {
  if (!forward && at === '') return [];
  const entries = forward
    ? await connection.xrange(keys.events, at === undefined || at === '' ? '-' : `(${at}`, '+', 'COUNT', CHUNK)
    : await connection.xrevrange(keys.events, at === undefined ? '+' : `(${at}`, '-', 'COUNT', CHUNK);
  return entries.map((entry) => new LogLine(entry));
}

/** The position is an entry of the log, or lies before the first that there ever was. */
async function isInLog({ connection, keys }: Store, id: string): Promise<boolean> {
  if (id !== '') return (await connection.xrange(keys.events, id, id)).length > 0;
  const [first] = await connection.xrange(keys.events, '-', '+', 'COUNT', 1);
  return first === undefined || decodeChange(first, '')?.prev === '';
}

type Fields = LogLine['fields'];

/** Read off the entry: decoding one takes twenty times as long. */
function isAsked(query: HistoryQuery, { prev, kind, instanceId = '', type = '', group = '' }: Fields): boolean {
  if (prev === undefined || kind === undefined || (query.kinds && !query.kinds.some((asked) => asked === kind))) return false;
  return (query.instanceId ?? instanceId) === instanceId && asksFor(query, { type, group });
}

/** Whether a watcher may be told of it: for its home, or for the one that it left. */
const concerns = (query: WatchQuery, { type = '', group = '', fromType, fromGroup }: Fields) =>
  asksFor(query, { type, group }) || (fromType !== undefined && fromGroup !== undefined && asksFor(query, { type: fromType, group: fromGroup }));
