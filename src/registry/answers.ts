import { Answer, type KeptAnswer } from './answer.js';
import { departureJson, type Departure } from './change.js';
import { contentTag, TagSum, type ContentTag } from './content-tag.js';
import { compareHomes, compareNames, homeKey } from './home.js';
import { isRecent, tagOf, type Group, type Member } from './group.js';
import { instanceJson, type LogRecord } from './record.js';
import type { Discovery } from './queries.js';
import { asksFor, inScope } from './scope.js';
import type { Table } from './table.js';

const HEAD = Buffer.from('{"instances":[');
/** With a newline, or the next prompt stands behind an answer in a terminal. */
const TAIL = Buffer.from(']}\n');
/** Answers to other queries than a whole group are cheap to make again: few are kept. */
const KEPT_ANSWERS = 100;
const KEPT_BYTES = 16 * 1024 * 1024;

/**
 * Answers from one table. A whole group, which is what most callers ask for, is kept with its group and pieced together from
 * bytes of which a change makes only a few anew; any other query is walked, and kept until something it could show changes.
 */
export class Answers {
  readonly #kept = new Map<string, KeptAnswer>();

  constructor(private readonly table: Table) {}

  /** `now` is this process's monotonic clock, in ms: it only decides how old the bytes of heartbeats may be. */
  answer(query: Discovery, now: number): Answer {
    if (query.offline) return pageOf(withDeparted(this.table, query), query);
    const { type, group } = query;
    const one = type !== undefined && group !== undefined ? this.table.groups.get({ type, group }) : undefined;
    return one && isWhole(query, one) ? wholeGroup(one, now) : this.#walked(query, one, now);
  }

  #walked(query: Discovery, one: Group | undefined, now: number): Answer {
    const key = JSON.stringify(query);
    const version = query.type !== undefined && query.group !== undefined ? (one?.version ?? 0) : this.table.version;
    const kept = this.#kept.get(key);
    // Heartbeats are not counted for every query: its bytes are simply never older than they may be.
    if (kept?.version === version && isRecent(true, kept.encodedAt, now)) return kept.answer;
    const answer = pageOf(visible(this.table, query), query);
    this.#keep(key, { version, encodedAt: now, answer });
    return answer;
  }

  /** The latest answers, as many as there is room for. */
  #keep(key: string, kept: KeptAnswer) {
    this.#kept.delete(key);
    this.#kept.set(key, kept);
    let [count, bytes] = [0, 0];
    for (const [oldKey, { answer }] of [...this.#kept].reverse()) {
      bytes += answer.size;
      if (++count > KEPT_ANSWERS || bytes > KEPT_BYTES) this.#kept.delete(oldKey);
    }
  }
}

const isWhole = ({ statuses, labels, scope, after, limit }: Discovery, group: Group) =>
  statuses === undefined && labels === undefined && after === undefined && limit >= group.size && inScope(scope, group);

function wholeGroup(group: Group, now: number): Answer {
  const kept = group.answer;
  if (kept?.version === group.version && isRecent(group.renewed, kept.encodedAt, now)) return kept.answer;
  const answer = new Answer(group.tags.etag, () => Buffer.concat([HEAD, ...group.bytes(now), TAIL]));
  group.answer = { version: group.version, encodedAt: now, answer };
  return answer;
}

/** One instance on its way into an answer. */
interface Shown {
  record: LogRecord;
  json: () => string;
  tag: ContentTag;
  departure?: Departure;
}

const shown = (member: Member): Shown => ({ record: member.record, tag: tagOf(member), json: () => instanceJson(member.record, member) });

type Place = Pick<LogRecord, 'type' | 'group' | 'instanceId'>;

/** Behind which instance a page begins; undefined: with the first. */
function placeOf({ after }: Discovery): Place | undefined {
  const [type, group, instanceId] = after?.split(':') ?? [];
  return type === undefined || group === undefined || instanceId === undefined ? undefined : { type, group, instanceId };
}

/** Live instances that a query asks for, in order. */
function* visible(table: Table, query: Discovery): Generator<Shown> {
  const after = placeOf(query);
  for (const group of table.groups.from(after ? table.groups.before(after) : 0)) {
    if (!asksFor(query, group)) continue;
    const behind = after && compareHomes(group, after) === 0 ? after.instanceId : '';
    for (const member of group.members(behind)) if (matches(query, member.record)) yield shown(member);
  }
}

/** Those and the departed, in the same order. It is a look back for people: walked and sorted anew each time. */
function withDeparted(table: Table, query: Discovery): Shown[] {
  const after = placeOf(query);
  const departed = [...table.departed].flatMap((departure): Shown[] => {
    const { record } = departure.change;
    if (!asksFor(query, record) || !matches(query, record) || (after && compareRecords(record, after) <= 0)) return [];
    return [{ record, departure, tag: record.tag, json: () => instanceJson(record, record, `,"departed":${departureJson(departure)}`) }];
  });
  return [...visible(table, query), ...departed].sort((a, b) => compareRecords(a.record, b.record));
}

function matches({ statuses, labels }: Discovery, record: LogRecord): boolean {
  if (statuses && !statuses.includes(record.status)) return false;
  return labels === undefined || Object.entries(labels).every(([key, value]) => Object.hasOwn(record.labels, key) && record.labels[key] === value);
}

const compareRecords = (one: Place, other: Place) => compareHomes(one, other) || compareNames(one.instanceId, other.instanceId);

function pageOf(all: Iterable<Shown>, { limit }: Discovery): Answer {
  const page: Shown[] = [];
  const tags = new TagSum();
  let more = false;
  for (const one of all) {
    if (page.length === limit) {
      more = true;
      break;
    }
    page.push(one);
    tags.add(one.tag);
    if (one.departure) tags.add(contentTag(`departed ${one.departure.change.id}`));
  }
  const last = more ? page.at(-1)?.record : undefined;
  const next = last && `${homeKey(last)}:${last.instanceId}`;
  if (next !== undefined) tags.add(contentTag(`next ${next}`)); // a page with more behind it is not the same as a last one
  const tail = next === undefined ? ']}\n' : `],"next":${JSON.stringify(next)}}\n`;
  return new Answer(tags.etag, () => Buffer.from(`{"instances":[${page.map(({ json }) => json()).join(',')}${tail}`));
}
