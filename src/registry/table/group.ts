import { STATUSES, type Status } from '../../contract/index.js';
import type { KeptAnswer } from './answer.js';
import type { Part } from './body.js';
import { contentTag, TagSum } from '../log/content-tag.js';
import { holdJson, type Hold } from '../hold.js';
import type { Lapsing } from './lapses.js';
import { instanceJson, type LogRecord, type Renewal } from '../log/record.js';
import type { Home } from '../home.js';
import type { Standing } from '../lease.js';
import { lowerBound } from '../log/lower-bound.js';

/** What is visible in a group; while it is held, why. */
export interface GroupCount extends Home {
  instances: number;
  cordoned: number;
  statuses: Record<Status, number>;
  suspects: number;
  hold?: Hold;
  /** The same as it is written in answers. */
  json: string;
}

/** An instance of the view: its record, and what heartbeats have changed since. */
export interface Member extends Lapsing, Renewal {
  record: LogRecord;
  /** Id of its last change in this epoch; '' if that is from before. */
  changedBy: string;
  /** Id of the entry that its content is from, whatever epoch that was in. */
  of: string;
  /** The lease's end as the store has it, grace not counted. */
  scoreMs: number;
  /** One that has lapsed is in no answer: its departure is not told yet. */
  standing: Standing;
  group: Group;
  /** Where it stands in its group while it is visible. */
  run: Run | undefined;
}

/** Members next to each other in order, with their bytes: a change makes only those of its run anew. */
interface Run {
  members: Member[];
  bytes: Buffer | undefined;
  encodedAt: number;
  /** A heartbeat came since. */
  renewed: boolean;
  /** Greater with every change of its members. */
  version: number;
}

const RUN_LENGTH = 128;
/** Heartbeats show in a body within this time: the contract says two seconds, and they reach the view within one. */
export const REFRESH_MS = 1000;
const COMMA = Buffer.from(',');

const idOf = ({ record }: Member) => record.instanceId;

/** The visible members of one group in the order of their ids, with what is asked of them kept up to date. */
export class Group implements Home {
  readonly tags = new TagSum();
  /** Lapsed, and not told yet. */
  readonly lapsed = new Set<Member>();
  /** Greater with every change of what is visible, and never the same as another group's. */
  version = 0;
  /** The whole group as an answer, of some version. */
  answer: KeptAnswer | undefined;
  /** A heartbeat came since that answer. */
  renewed = false;
  /** While most of it is silent. */
  hold: Hold | undefined;
  readonly suspects = new Set<Member>();
  readonly #runs: Run[] = [];
  readonly #statuses = new Map<Status, number>();
  #cordoned = 0;
  #size = 0;
  #weight = 0;
  #counted: { version: number; hold: Hold | undefined; count: GroupCount } | undefined;

  constructor(
    readonly type: string,
    readonly group: string,
  ) {}

  get size() {
    return this.#size;
  }

  /** Bytes of the visible records, without what heartbeats change. */
  get weight() {
    return this.#weight;
  }

  get empty() {
    return this.#size === 0 && this.lapsed.size === 0;
  }

  show(member: Member) {
    const id = idOf(member);
    const at = this.#runFor(id);
    const run = this.#runs[at] ?? this.#addRun(0, []);
    run.members.splice(placeOf(run.members, id), 0, member);
    member.run = run;
    touch(run);
    if (run.members.length > RUN_LENGTH) this.#addRun(at + 1, run.members.splice(RUN_LENGTH / 2));
    this.#count(member.record, 1);
    this.tags.add(tagOf(member));
  }

  hide(member: Member) {
    const { run } = member;
    if (!run) return;
    member.run = undefined;
    run.members.splice(placeOf(run.members, idOf(member)), 1);
    touch(run);
    if (run.members.length === 0) this.#runs.splice(this.#runs.indexOf(run), 1);
    this.#count(member.record, -1);
    this.tags.remove(tagOf(member));
  }

  /** A heartbeat, or a later end by grace, changed what the bytes say; the content is the same. */
  renew({ run }: Member) {
    if (run) run.renewed = true;
    this.renewed = true;
  }

  /** Visible members in order, those behind `after` only. */
  *members(after = ''): Generator<Member> {
    for (let at = after === '' ? 0 : this.#runFor(after); at < this.#runs.length; at++) {
      for (const member of (this.#runs[at] as Run).members) if (after === '' || idOf(member) > after) yield member;
    }
  }

  /** All visible members as they are now, comma between them, a run a part: bytes at hand, or still to be made, and kept unless they are all of the answer. */
  parts(now: number): Part[] {
    const kept = this.#runs.length > 1;
    const parts = this.#runs.flatMap((run, i) => (i === 0 ? [partOf(run, now, kept)] : [() => COMMA, partOf(run, now, kept)]));
    this.renewed = this.#runs.some((run) => run.renewed && bytesAt(run, now));
    return parts;
  }

  /** Nobody asks for it: the bytes are made again when somebody does. */
  forgetBytes() {
    this.answer = undefined;
    this.#runs.forEach(touch);
  }

  /** At this time of the store's clock: a hold may be over before that has been told. Counted once for a version. */
  count(nowMs: number): GroupCount {
    const hold = this.hold && this.hold.untilMs > nowMs ? this.hold : undefined;
    if (this.#counted?.version !== this.version || this.#counted.hold !== hold) this.#counted = { version: this.version, hold, count: this.#countAnew(hold) };
    return this.#counted.count;
  }

  #countAnew(hold: Hold | undefined): GroupCount {
    const statuses = Object.fromEntries(STATUSES.map((status) => [status, this.#statuses.get(status) ?? 0])) as Record<Status, number>;
    const counts = { type: this.type, group: this.group, instances: this.#size, cordoned: this.#cordoned, statuses, suspects: this.suspects.size };
    return { ...counts, ...(hold && { hold }), json: JSON.stringify({ ...counts, ...(hold && { hold: holdJson(hold) }) }) };
  }

  /** Index of the run that holds this id, or would. */
  #runFor(id: string): number {
    return lowerBound(1, this.#runs.length, (at) => idOf((this.#runs[at] as Run).members[0] as Member) <= id) - 1;
  }

  #addRun(at: number, members: Member[]): Run {
    const run: Run = { members, bytes: undefined, encodedAt: 0, renewed: false, version: 0 };
    for (const member of members) member.run = run;
    this.#runs.splice(at, 0, run);
    return run;
  }

  #count({ status, cordoned, head }: LogRecord, by: 1 | -1) {
    this.#counted = undefined;
    this.#size += by;
    this.#weight += by * head.length;
    this.#statuses.set(status, (this.#statuses.get(status) ?? 0) + by);
    if (cordoned) this.#cordoned += by;
  }
}

export const memberJson = (member: Member) => instanceJson(member.record, member, '', member.standing === 'suspect');

/** That an instance is suspect is content too. */
export const tagOf = ({ record, standing }: Member) => (standing === 'suspect' ? contentTag(`suspect ${record.head}`) : record.tag);

function touch(run: Run) {
  run.bytes = undefined;
  run.version++;
}

/** The bytes of a run where they are at hand and recent. */
const bytesAt = ({ bytes, renewed, encodedAt }: Run, now: number) => (isRecent(renewed, encodedAt, now) ? bytes : undefined);

function partOf(run: Run, now: number, kept: boolean): Part {
  const bytes = bytesAt(run, now);
  if (bytes) return () => bytes;
  const { version } = run;
  const shown = run.members.map((member) => ({ member, suspect: member.standing === 'suspect', record: member.record }));
  return () => {
    const json = shown.map(({ record, member, suspect }) => instanceJson(record, member, '', suspect));
    const made = Buffer.from(json.join(','));
    if (run.version === version) Object.assign(run, { bytes: kept ? made : undefined, encodedAt: now, renewed: false });
    return made;
  };
}

/** Bytes that were made at `encodedAt` still say what is asked of them. */
export const isRecent = (renewed: boolean, encodedAt: number, now: number) => !renewed || now - encodedAt < REFRESH_MS;

const placeOf = (members: Member[], id: string) => lowerBound(0, members.length, (at) => idOf(members[at] as Member) < id);
