import { listParts } from './body.js';
import { departureJson, type Departure } from '../log/change.js';
import { contentTag, TagSum, type ContentTag } from '../log/content-tag.js';
import { tagOf, type Group, type Member } from './group.js';
import { compareHomes, compareNames, homeKey, type Home } from '../home.js';
import { instanceJson, type LogRecord } from '../log/record.js';
import type { Discovery } from '../queries.js';
import { asksFor } from '../scope.js';
import type { Sliced } from './slices.js';
import type { Table } from './table.js';

/** Bytes of records in one answer, the first one not counted: more are a page of their own. */
export const PAGE_BYTES = 8 * 1024 * 1024;
/** Sorts behind every id. */
const LAST_ID = '~';

type Place = Pick<LogRecord, 'type' | 'group' | 'instanceId'>;

/** One instance on its way into an answer. */
interface Shown {
  record: LogRecord;
  member: Member | undefined;
  departure: Departure | undefined;
  /** What it was when it was looked at: whatever is written later, the page is what stood at its end. */
  suspect: boolean;
}

/** Whether a query is about a record: before or after a change, if it is about that change. */
export function asksAbout(query: Discovery): (record: LogRecord) => boolean {
  const labels = query.labels && Object.entries(query.labels);
  const statuses = query.statuses && new Set(query.statuses);
  return (record) => {
    if (statuses && !statuses.has(record.status)) return false;
    if (labels) for (const [key, value] of labels) if (!Object.hasOwn(record.labels, key) || record.labels[key] !== value) return false;
    return asksFor(query, record);
  };
}

/**
 * The page of one query, found by looking at one instance after the other, a slice at a time. What changes between two slices at a
 * place that was looked at already is looked at again, so in the end the page is what stands at that moment, and
 * whoever moves meanwhile is in it once.
 */
export class Walk implements Sliced {
  done = false;
  readonly #matches: (record: LogRecord) => boolean;
  readonly #touched = new Set<string>();
  #page: Shown[] = [];
  #tags = new TagSum();
  #bytes = 0;
  #more = false;
  readonly #start: Place;
  /** Everything up to here has been looked at. */
  #place: Place;

  constructor(
    private readonly table: Table,
    private readonly query: Discovery,
  ) {
    this.#matches = asksAbout(query);
    this.#place = this.#start = startOf(query);
    table.news.walks.add(this.#touched);
  }

  step(budget: number): number {
    let looked = this.#lookAgain();
    const most = Math.max(budget, looked + budget / 2); // it gets on, however much changes
    for (let home: Home | undefined; looked < most && !this.done && (home = this.#nextHome()); ) {
      looked++;
      if (asksFor(this.query, home)) looked += this.#walk(home, most - looked);
      else this.#place = { ...home, instanceId: LAST_ID };
    }
    if (looked < most) this.#finish();
    return looked;
  }

  /** Nobody waits for it any more. */
  #finish() {
    this.done = true;
    this.table.news.walks.delete(this.#touched);
  }

  /** Etag, weight in bytes, and what writes the body. The page is held by that only. */
  get result() {
    const page = this.#page;
    const last = this.#more ? page.at(-1)?.record : undefined;
    const next = last && `${homeKey(last)}:${last.instanceId}`;
    const tags = new TagSum();
    tags.add(this.#tags);
    if (next !== undefined) tags.add(contentTag(`next ${next}`)); // a page with more behind it is not the same as a last one
    const tail = next === undefined ? ']}\n' : `],"next":${JSON.stringify(next)}}\n`;
    return { etag: tags.etag, bytes: this.#bytes, encode: () => listParts('{"instances":[', page, jsonOf, tail) };
  }

  /** The home in which the walk goes on: that of its place, or the first behind it. */
  #nextHome(): Home | undefined {
    const { table, query } = this;
    const { type, group, instanceId } = this.#place;
    const behind = instanceId === LAST_ID ? { type, group: `${group}\0` } : { type, group };
    const live = table.groups.at(table.groups.before(behind));
    const left = query.offline ? table.departed.homeFrom(behind) : undefined;
    const home: Home | undefined = live && left ? (compareHomes(left, live) < 0 ? left : live) : (live ?? left);
    if (!home || (query.type !== undefined && home.type !== query.type)) return undefined;
    if (query.type !== undefined && query.group !== undefined && home.group !== query.group) return undefined;
    return { type: home.type, group: home.group };
  }

  /** Members of one home, until all are looked at, the page is full, or the budget is spent. */
  #walk(home: Home, budget: number): number {
    const behind = compareHomes(home, this.#place) === 0 ? this.#place.instanceId : '';
    let looked = 0;
    for (const one of shownIn(this.table.groups.get(home), this.query.offline ? this.table.departed.of(home) : [], behind)) {
      looked++;
      if (this.#matches(one.record) && !this.#take(one)) return looked;
      this.#place = one.record;
      if (looked >= budget) return looked;
    }
    this.#place = { ...home, instanceId: LAST_ID };
    return looked;
  }

  /** False when the page is full. */
  #take(one: Shown): boolean {
    const weight = one.record.head.length;
    const { limit, pageBytes = PAGE_BYTES } = this.query;
    if (this.#page.length === limit || (this.#page.length > 0 && this.#bytes + weight > pageBytes)) {
      this.#more = true;
      this.#finish();
      return false;
    }
    this.#bytes += weight;
    this.#tags.add(tagOfShown(one));
    if (one.departure) this.#tags.add(contentTag(`departed ${one.departure.change.id}`));
    this.#page.push(one);
    return true;
  }

  /** What was touched since the last slice, where that had been looked at. */
  #lookAgain(): number {
    if (this.#touched.size === 0) return 0;
    const ids = [...this.#touched];
    this.#touched.clear();
    const again = ids.flatMap((id): Shown[] => {
      const one = shownNow(this.table, id, this.query);
      return one && this.#matches(one.record) && isBetween(one.record, this.#start, this.#place) ? [one] : [];
    });
    const touched = new Set(ids);
    const page = [...this.#page.filter(({ record }) => !touched.has(record.instanceId)), ...again].sort((a, b) => compareRecords(a.record, b.record));
    this.#page = [];
    this.#tags = new TagSum();
    this.#bytes = 0;
    for (const one of page) if (!this.#take(one)) break;
    return ids.length + page.length;
  }
}

const compareRecords = (one: Place, other: Place) => compareHomes(one, other) || compareNames(one.instanceId, other.instanceId);
const tagOfShown = ({ member, record }: Shown): ContentTag => (member ? tagOf(member) : record.tag);
const jsonOf = ({ record, member, departure, suspect }: Shown) => (departure ? instanceJson(record, record, `,"departed":${departureJson(departure)}`) : instanceJson(record, member ?? record, '', suspect));
const ofMember = (member: Member): Shown => ({ record: member.record, member, departure: undefined, suspect: member.standing === 'suspect' });
const ofDeparture = (departure: Departure): Shown => ({ record: departure.change.record, member: undefined, departure, suspect: false });

const isBetween = (one: Place, first: Place, last: Place) => compareRecords(one, first) > 0 && compareRecords(one, last) <= 0;

/** Behind this place the first that a query is about can stand. */
function startOf({ type, group, after }: Discovery): Place {
  const first: Place = { type: type ?? '', group: (type === undefined ? undefined : group) ?? '', instanceId: '' };
  const [afterType = '', afterGroup = '', instanceId = ''] = after?.split(':') ?? [];
  const behind: Place = { type: afterType, group: afterGroup, instanceId };
  return compareRecords(behind, first) > 0 ? behind : first;
}

function shownNow(table: Table, id: string, { offline }: Discovery): Shown | undefined {
  const member = table.members.get(id);
  if (member && member.standing !== 'lapsed') return ofMember(member);
  const departure = offline ? table.departed.get(id) : undefined;
  return departure && ofDeparture(departure);
}

/** Live and departed of one home behind this id, in the order of their ids. */
function* shownIn(group: Group | undefined, departed: readonly Departure[], behind: string): Generator<Shown> {
  let at = 0;
  while (at < departed.length && (departed[at] as Departure).change.record.instanceId <= behind) at++;
  for (const member of group?.members(behind) ?? []) {
    for (; at < departed.length && (departed[at] as Departure).change.record.instanceId < member.record.instanceId; at++) yield ofDeparture(departed[at] as Departure);
    yield ofMember(member);
  }
  for (; at < departed.length; at++) yield ofDeparture(departed[at] as Departure);
}
