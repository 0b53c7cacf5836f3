import { Answer, type KeptAnswer } from './answer.js';
import { isRecent, REFRESH_MS, type Group } from './group.js';
import type { Discovery } from '../queries.js';
import { inScope } from '../scope.js';
import { Slices } from './slices.js';
import type { Table } from './table.js';
import { PAGE_BYTES, Walk } from './walk.js';

const HEAD = Buffer.from('{"instances":[');
/** With a newline, or the next prompt stands behind an answer in a terminal. */
const TAIL = Buffer.from(']}\n');
/** Answers to other queries than a whole group are cheap to make again: few are kept, and none for longer than its bytes are recent. */
const KEPT_ANSWERS = 100;
const KEPT_BYTES = 16 * 1024 * 1024;
/** Whole groups that nobody has asked for so long are made again: those of a large fleet are as much memory as its records. */
const UNASKED_MS = 5000;

/**
 * Answers from one table. A whole group, which is what most callers ask for, is kept with its group and pieced together from
 * bytes of which a change makes only a few anew; any other query is walked, in slices that all walks of the process share.
 */
export class Answers {
  readonly #kept = new Map<string, KeptAnswer>();
  readonly #walking = new Map<string, Promise<Answer>>();
  /** Groups whose answer is kept, and when somebody asked for it last. */
  readonly #groups = new Map<Group, number>();
  #forgetting: NodeJS.Timeout | undefined;

  constructor(
    private readonly table: Table,
    /** Whose turns its walks share. */
    private readonly slices = new Slices(),
  ) {}

  /** How many are kept. */
  get kept() {
    return this.#kept.size;
  }

  /** All of it in this turn, however long that takes. `now` is this process's monotonic clock, in ms: it only decides how old the bytes of heartbeats may be. */
  answer(query: Discovery, now: number): Answer {
    const known = this.#known(query, now);
    if (known) return known;
    const walk = new Walk(this.table, query);
    walk.step(Infinity);
    return this.#keep(query, walk, now);
  }

  /** The same, at once only when this turn still has time for it. */
  ask(query: Discovery, now: number): Answer | Promise<Answer> {
    const known = this.#known(query, now);
    if (known) return known;
    const key = JSON.stringify(query);
    const shared = this.#walking.get(key);
    if (shared) return shared; // it ends with what stands then, so it is right for who comes now
    const walk = new Walk(this.table, query);
    const rest = this.slices.run(walk);
    if (!rest) return this.#keep(query, walk, now);
    const promised = rest.then(() => {
      this.#walking.delete(key);
      return this.#keep(query, walk, performance.now());
    });
    this.#walking.set(key, promised);
    return promised;
  }

  #known(query: Discovery, now: number): Answer | undefined {
    const { type, group } = query;
    const one = type !== undefined && group !== undefined ? this.table.groups.get({ type, group }) : undefined;
    if (one && isWhole(query, one)) return this.#wholeGroup(one, now);
    const kept = this.#kept.get(JSON.stringify(query));
    // Heartbeats are not counted for every query: its bytes are simply never older than they may be.
    return kept?.version === this.#versionOf(query) && isRecent(true, kept.encodedAt, now) ? kept.answer : undefined;
  }

  #wholeGroup(group: Group, now: number): Answer {
    this.#groups.set(group, now);
    const kept = group.answer;
    if (kept?.version === group.version && isRecent(group.renewed, kept.encodedAt, now)) return kept.answer;
    const answer = new Answer(group.tags.etag, () => [() => HEAD, ...group.parts(now), () => TAIL], group.weight, this.slices);
    group.answer = { version: group.version, encodedAt: now, answer };
    this.#forgetLater();
    return answer;
  }

  #versionOf({ type, group, offline }: Discovery): number {
    if (offline) return this.table.version + this.table.departed.version;
    return type !== undefined && group !== undefined ? (this.table.groups.get({ type, group })?.version ?? 0) : this.table.version;
  }

  /** The latest answers, as many as there is room for, until their bytes are old. */
  #keep(query: Discovery, walk: Walk, now: number): Answer {
    const { etag, encode, bytes } = walk.result;
    const answer = new Answer(etag, encode, bytes, this.slices);
    const key = JSON.stringify(query);
    this.#kept.delete(key);
    this.#kept.set(key, { version: this.#versionOf(query), encodedAt: now, answer });
    let [count, held] = [0, 0];
    for (const [oldKey, { answer: { size } }] of [...this.#kept].reverse()) {
      held += size;
      if (++count > KEPT_ANSWERS || held > KEPT_BYTES) this.#kept.delete(oldKey);
    }
    this.#forgetLater();
    return answer;
  }

  /** Drops what is too old to be given: it would hold the records of those that have left since. */
  #forget() {
    const now = performance.now();
    for (const [key, { encodedAt }] of this.#kept) if (!isRecent(true, encodedAt, now)) this.#kept.delete(key);
    for (const [group, askedAt] of this.#groups) {
      if (now - askedAt < UNASKED_MS) continue;
      group.forgetBytes();
      this.#groups.delete(group);
    }
    this.#forgetting = undefined;
    if (this.#kept.size + this.#groups.size > 0) this.#forgetLater();
  }

  #forgetLater() {
    this.#forgetting ??= setTimeout(() => this.#forget(), REFRESH_MS).unref();
  }
}

const isWhole = ({ statuses, labels, scope, after, limit, offline, pageBytes = PAGE_BYTES }: Discovery, group: Group) =>
  !offline && statuses === undefined && labels === undefined && after === undefined && limit >= group.size && group.weight <= pageBytes && inScope(scope, group);
