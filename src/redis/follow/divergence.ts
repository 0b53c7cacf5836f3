import { random32 } from '../../registry/ids.js';
import { compareIds, parseRevision } from '../../registry/revision.js';
import type { Table } from '../../registry/table/table.js';
import type { Source } from '../scripts/store.js';

/** `beat`: of an instance that the view does not know. `tag`: another replica has other content at the same position. `log`: it is not the one that was read. */
export const DIVERGENCES = ['beat', 'tag', 'log'] as const;
export type DivergenceReason = (typeof DIVERGENCES)[number];

const SAID_EVERY_MS = 1000;
/** Only what was said last is kept: replicas that say it at the same moments would never hear each other. */
const SAID_SPREAD_MS = 500;
/** Two tags that differ for longer are no accident. Spread: of two replicas the one that is wrong may be mended first. */
const DIFFER_MS = 1000;
const DIFFER_SPREAD_MS = 3000;
/** Reading anew is answered by the same proof again only so often. */
const RELOAD_EVERY_MS = 30_000;
const TAGS_KEPT = 1000;
const STRANGERS_KEPT = 20;

/** What proves that the view is not what Redis or another replica says, although everything has been read. Each is answered by reading anew. */
export class Divergence {
  readonly #self = String(random32());
  /** Ids that were renewed and are in no view. */
  readonly #strangers = new Set<string>();
  /** Those that reading anew did not make known. */
  readonly #hopeless = new Set<string>();
  /** The content at the latest positions, by id of the entry. */
  readonly #tags = new Map<string, string>();
  /** Replicas whose content differs, and from when on that is no accident. */
  readonly #differing = new Map<string, number>();
  readonly #provedAt = new Map<DivergenceReason, number>();
  #sayFrom = -Infinity;
  #askedAt = -Infinity;

  constructor(private readonly source: Source) {}

  /** The table has taken this entry. */
  applied(id: string, table: Table) {
    this.#tags.set(id, table.content.etag);
    if (this.#tags.size > TAGS_KEPT) this.#tags.delete(this.#tags.keys().next().value as string);
  }

  /** The content is another, or is being put together. */
  forget() {
    this.#tags.clear();
    this.#differing.clear();
    this.#strangers.clear();
  }

  /** These ids were renewed, and the table, which has all events, does not have them. */
  beaten(ids: string[]) {
    for (const id of ids) if (this.#strangers.size < STRANGERS_KEPT && !this.#hopeless.has(id)) this.#strangers.add(id);
  }

  /** What this replica has to say to the others, about once a second; else ''. */
  say({ position, content }: Table): string {
    const now = performance.now();
    if (now < this.#sayFrom) return '';
    this.#sayFrom = now + SAID_EVERY_MS + (Math.random() - 0.5) * SAID_SPREAD_MS;
    return `${this.#self} ${position.epoch} ${position.id} ${content.etag}`;
  }

  /** Whether there is proof, given what a replica said last. At most one for each reason in half a minute. */
  async proof(table: Table, said: string): Promise<DivergenceReason | undefined> {
    const reason = this.#differs(table, said) ? 'tag' : (await this.#unknown(table)) ? 'beat' : undefined;
    if (!reason || performance.now() - (this.#provedAt.get(reason) ?? -Infinity) < RELOAD_EVERY_MS) return undefined;
    this.#provedAt.set(reason, performance.now());
    return reason;
  }

  #differs({ position, content }: Table, said: string): boolean {
    const [replica = '', epoch, id = '', tag] = said.split(' ');
    if (tag === undefined || replica === this.#self || epoch !== position.epoch) return false;
    const mine = id === position.id ? content.etag : this.#tags.get(id);
    if (mine === undefined) return false; // not read yet, or long ago
    if (mine === tag) this.#differing.delete(replica);
    if (mine === tag) return false;
    const now = performance.now();
    const until = this.#differing.get(replica) ?? now + DIFFER_MS + Math.random() * DIFFER_SPREAD_MS;
    this.#differing.set(replica, until);
    return now > until;
  }

  /** Redis has a record of one of those who were renewed, last changed by something that was read. A hand may have written the rest. */
  async #unknown({ members, position }: Table): Promise<boolean> {
    if (this.#strangers.size === 0 || performance.now() - this.#askedAt < SAID_EVERY_MS) return false;
    this.#askedAt = performance.now();
    const { connection, keys } = this.source;
    const ids = [...this.#strangers];
    this.#strangers.clear();
    const pipeline = connection.pipeline();
    for (const id of ids) pipeline.hmget(keys.record(id), 'instanceId', 'type', 'group', 'revision');
    const replies = (await pipeline.exec()) ?? [];
    const known = ids.filter((id, i) => {
      const [error, reply] = replies[i] ?? [new Error('no reply'), []];
      const [instanceId, type, group, revision] = error ? [] : (reply as (string | null)[]);
      const changed = parseRevision(revision ?? '');
      const read = changed?.epoch !== position.epoch || compareIds(changed.id, position.id) <= 0;
      return instanceId === id && type && group && read && !members.has(id);
    });
    for (const id of known) this.#hopeless.add(id);
    if (this.#hopeless.size > TAGS_KEPT) this.#hopeless.clear();
    return known.length > 0;
  }
}
