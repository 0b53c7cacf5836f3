import { type Change, departureOf, isDeparture, isKnown, noteMove } from './change.js';
import { TagSum } from './content-tag.js';
import { Departed } from './departed.js';
import type { Group, Member } from './group.js';
import { Groups } from './groups.js';
import type { Hold } from './hold.js';
import { LapseSchedule, NOT_PLANNED } from './lapses.js';
import { leaseEndMs, SHORT_LEASE_MS } from './lease.js';
import { News } from './news.js';
import { withoutPerformance, type LogRecord } from './record.js';
import { homeKey, type Home } from './home.js';
import { compareIds, type Position } from './revision.js';
import { flat } from './text.js';

/** A hold that nobody has released so long after its end was lost. */
const FORGOTTEN_MS = 10_000;
/** What lies further ahead of the watermark than this was written before the store's clock was set back. */
const SET_BACK_MS = 1000;

/**
 * The registry in memory: what the log says up to `position`, with the leases of up to `watermarkMs`. It is fed by the
 * reader only, in the log's order, so it is the same on every replica at the same position and watermark.
 */
export class Table {
  readonly members = new Map<string, Member>();
  readonly departed: Departed;
  readonly groups = new Groups();
  /** Of all members, lapsed or not: the same on every replica at the same position. */
  readonly content = new TagSum();
  readonly news = new News();
  /** Whose `performance` changed since somebody emptied this; nobody collects it unless asked to. */
  readonly performing = new Set<Member>();
  collectPerformance = false;
  /** Greater with every change of what is visible. */
  version = 0;
  watermarkMs = 0;
  readonly #lapses = new LapseSchedule<Member>(leavesAt);
  readonly #isAhead = (ms: number) => this.watermarkMs > 0 && ms > this.watermarkMs + SET_BACK_MS;
  #graceFromMs: number;
  #lullFromMs: number;

  /** With the grace that is in force already, a load does not have to plan every lease a second time. */
  constructor(
    public position: Position,
    offlineMs: number,
    graceFromMs = 0,
    lullFromMs = 0,
  ) {
    this.#graceFromMs = graceFromMs;
    this.#lullFromMs = lullFromMs;
    this.departed = new Departed(offlineMs);
  }

  /** A record as the store holds it while the table is being loaded. `changedBy` is the id of its last change in this epoch, `of` in any. */
  load(record: LogRecord, scoreMs: number, changedBy: string, of = changedBy) {
    this.#put(record, scoreMs, changedBy, of);
  }

  /** The next entry of the log. What a load has read already, in the same or a later state, only moves the position on. */
  apply(change: Change) {
    this.position = { epoch: this.position.epoch, id: change.id };
    const { record, kind, hold, of } = change;
    if (kind === 'held' || kind === 'released') {
      if (kind === 'held' && hold) this.hold(record, hold);
      else this.#release(record);
      return;
    }
    const known = this.members.get(record.instanceId);
    if (kind === undefined || (known && compareIds(change.id, known.changedBy) <= 0)) return;
    // A replica that had read less restored what it knew. The later word is here, and is on its way to the store.
    if (known && of !== undefined && compareIds(of, known.of) < 0) return void (change.known = true);
    change.known = isKnown(change, known?.record);
    noteMove(change, known?.record);
    if (isDeparture(change)) this.#depart(change, known);
    else this.#put(record, record.expiresAtMs, change.id, of);
  }

  /**
   * The store lost what came after the entry `id`, or everything if that is ''. The content stays; where it stands in the log is
   * only known again when it has been restored.
   */
  rebase(position: Position, holds: [Home, Hold][]) {
    this.position = position;
    for (const [home, hold] of holds) this.hold(home, hold); // one that was lost ends by itself: its suspects may be alive
    for (const member of this.members.values()) if (compareIds(member.changedBy, position.id) > 0) member.changedBy = position.id;
  }

  /** Most of a group fell silent at once: who is past the end of its lease stays, as a suspect. */
  hold(home: Home, hold: Hold) {
    const group = this.groups.hold(home, hold);
    if (!group) return;
    this.#changed(group);
    for (const member of [...group.lapsed]) this.#score(member, member.scoreMs);
  }

  /** One entry of the beats: these ids were renewed at this time of the store's clock. */
  renew(ids: string[], performances: string[] | undefined, atMs: number) {
    ids.forEach((id, i) => {
      const member = this.members.get(id);
      // A beat from before the registration is of an older incarnation, unless the clock was set back since.
      if (!member || (atMs < member.record.registeredAtMs && !this.#isAhead(member.record.registeredAtMs))) return;
      this.#score(member, Math.max(member.scoreMs, atMs + member.record.ttlMs));
      member.renewedAtMs = this.#isAhead(member.renewedAtMs) ? atMs : Math.max(member.renewedAtMs, atMs);
      const performance = atMs >= member.renewedAtMs ? performances?.[i] : undefined;
      if (performance) {
        if (performance !== member.performance) member.performance = flat(performance);
        if (this.collectPerformance) this.performing.add(member);
      }
    });
  }

  /** The lease's end as the store has it: after a gap in the beats. */
  rescore(id: string, scoreMs: number) {
    const member = this.members.get(id);
    if (!member || scoreMs <= member.scoreMs) return;
    member.renewedAtMs = Math.max(member.renewedAtMs, scoreMs - member.record.ttlMs);
    this.#score(member, scoreMs);
  }

  /** Everything up to this time of the store's clock has been read: what has ended by then is no longer shown. */
  advance(watermarkMs: number, graceFromMs: number, lullFromMs = 0) {
    const clockSetBack = watermarkMs < this.watermarkMs - SET_BACK_MS;
    this.watermarkMs = watermarkMs;
    const lulled = lullFromMs !== this.#lullFromMs;
    this.#lullFromMs = lullFromMs;
    if (graceFromMs !== this.#graceFromMs || clockSetBack) this.#replan(graceFromMs, clockSetBack);
    else if (lulled) for (const member of this.members.values()) if (member.record.ttlMs <= SHORT_LEASE_MS) this.#score(member, member.scoreMs);
    this.#lapses.advance(watermarkMs, (member) => this.#lapse(member));
    this.departed.advance(watermarkMs);
    for (const home of this.groups.heldUntil(watermarkMs - FORGOTTEN_MS)) this.#release(home);
  }

  #put(record: LogRecord, scoreMs: number, changedBy: string, of = changedBy) {
    const old = this.members.get(record.instanceId);
    if (old) this.#drop(old);
    this.departed.forget(record.instanceId);
    const [{ performance, renewedAtMs }, group] = [record, this.groups.open(record)];
    const member: Member = { record: withoutPerformance(record), group, performance, renewedAtMs, changedBy, of, scoreMs, expiresAtMs: scoreMs, lapsed: true, suspect: false, run: undefined, step: NOT_PLANNED };
    this.members.set(record.instanceId, member);
    this.content.add(record.tag);
    this.news.touched(record);
    group.lapsed.add(member); // a change of one that has lapsed already does not show it again
    this.#score(member, scoreMs);
  }

  #depart(change: Change, known: Member | undefined) {
    if (known && homeKey(known.record) !== homeKey(change.record)) return; // it lives elsewhere: a leftover of its old home was cleared away
    if (known) {
      this.#drop(known);
      this.members.delete(change.record.instanceId);
    }
    this.departed.add(departureOf(change));
    this.news.touched(change.record);
  }

  #drop(member: Member) {
    const { group } = member;
    this.#lapses.forget(member);
    this.content.remove(member.record.tag);
    group.suspects.delete(member);
    if (member.lapsed) group.lapsed.delete(member);
    else {
      group.hide(member);
      this.#changed(group, member.record);
    }
    if (group.empty) this.groups.remove(group);
  }

  #score(member: Member, scoreMs: number) {
    const { group, record } = member;
    member.scoreMs = scoreMs;
    member.expiresAtMs = leaseEndMs({ scoreMs, ttlMs: record.ttlMs, graceFromMs: this.#graceFromMs, lullFromMs: this.#lullFromMs });
    group.renew(member);
    const ended = member.expiresAtMs <= this.watermarkMs;
    if (ended && (group.hold?.untilMs ?? 0) <= this.watermarkMs) {
      if (member.lapsed) return;
    } else if (member.lapsed || Boolean(member.suspect) !== ended) this.#show(member, ended); // or a heartbeat after the end of the lease
    this.#lapses.plan(member);
  }

  #lapse(member: Member) {
    if (!member.suspect && (member.group.hold?.untilMs ?? 0) > this.watermarkMs) {
      this.#show(member, true);
      this.#lapses.plan(member);
    } else this.#hide(member);
  }

  /** As live, or as a suspect. */
  #show(member: Member, suspect: boolean) {
    const { group } = member;
    group.hide(member);
    group.lapsed.delete(member);
    member.lapsed = false;
    mark(member, suspect);
    group.show(member);
    this.#changed(group, member.record);
  }

  #hide(member: Member) {
    const { group } = member;
    group.hide(member);
    mark(member, false);
    member.lapsed = true;
    group.lapsed.add(member);
    this.#changed(group, member.record);
  }

  #release(home: Home) {
    const group = this.groups.hold(home, undefined);
    if (!group) return;
    for (const member of [...group.suspects]) {
      this.#lapses.forget(member);
      this.#hide(member);
    }
    this.#changed(group); // it is no longer explained
  }

  /** Every lease has another end now: by grace, or because the store's clock was set back. */
  #replan(graceFromMs: number, clockSetBack: boolean) {
    this.#graceFromMs = graceFromMs;
    this.#lapses.clear();
    for (const member of this.members.values()) {
      member.step = NOT_PLANNED;
      // No lease ends later than one ttl from now; lua/include/setback.lua cuts those in the store.
      this.#score(member, clockSetBack ? Math.min(member.scoreMs, this.watermarkMs + member.record.ttlMs) : member.scoreMs);
    }
  }

  #changed(group: Group, record?: LogRecord) {
    group.version = ++this.version;
    this.news.changed(group);
    if (record) this.news.touched(record);
  }
}

/** A suspect leaves with the end of the hold, anybody else with the end of the lease. */
const leavesAt = ({ suspect, expiresAtMs, group }: Member) => (suspect ? Math.max(expiresAtMs, group.hold?.untilMs ?? 0) : expiresAtMs);

/** Only while it is hidden: what is visible of a group is summed up by what it shows. */
function mark(member: Member, suspect: boolean) {
  member.suspect = suspect;
  if (suspect) member.group.suspects.add(member);
  else member.group.suspects.delete(member);
}
