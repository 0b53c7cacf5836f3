import { isDeparture, type Change } from './change.js';
import { Departed } from './departed.js';
import { Group, type Member } from './group.js';
import { LapseSchedule, NOT_PLANNED } from './lapses.js';
import { leaseEndMs } from './lease.js';
import type { LogRecord } from './record.js';
import { compareHomes, homeKey, type Home } from './home.js';
import { compareIds, msOfId, type Position } from './revision.js';

/**
 * The registry in memory: what the log says up to `position`, with the leases of up to `watermarkMs`. It is fed by the
 * reader only, in the log's order, so it is the same on every replica at the same position and watermark.
 */
export class Table {
  readonly members = new Map<string, Member>();
  readonly departed: Departed;
  /** By type, then group. */
  readonly groups: Group[] = [];
  /** Groups whose visible content changed since somebody emptied this. */
  readonly changedHomes = new Set<string>();
  /** Whose `performance` changed since somebody emptied this; nobody collects it unless asked to. */
  readonly performing = new Set<Member>();
  collectPerformance = false;
  /** Greater with every change of what is visible. */
  version = 0;
  watermarkMs = 0;
  readonly #byHome = new Map<string, Group>();
  readonly #lapses = new LapseSchedule<Member>((member) => member.expiresAtMs);
  #graceFromMs: number;

  /** With the grace that is in force already, a load does not have to plan every lease a second time. */
  constructor(
    public position: Position,
    offlineMs: number,
    graceFromMs = 0,
  ) {
    this.#graceFromMs = graceFromMs;
    this.departed = new Departed(offlineMs);
  }

  group({ type, group }: Home): Group | undefined {
    return this.#byHome.get(homeKey({ type, group }));
  }

  /** A record as the store holds it while the table is being loaded. `changedBy` is the id of its last change. */
  load(record: LogRecord, scoreMs: number, changedBy: string) {
    this.#put(record, scoreMs, changedBy);
  }

  /** The next entry of the log. What a load has read already, in the same or a later state, only moves the position on. */
  apply(change: Change) {
    this.position = { epoch: this.position.epoch, id: change.id };
    const { record, kind } = change;
    const known = this.members.get(record.instanceId);
    if (kind === undefined || (known && compareIds(change.id, known.changedBy) <= 0)) return;
    if (isDeparture(change)) this.#depart(change, known);
    else if (kind !== 'held' && kind !== 'released') this.#put(record, record.expiresAtMs, change.id);
  }

  /** A change from before the load: it is in the records already, and only tells who left. */
  remember(change: Change) {
    if (isDeparture(change) && !this.members.has(change.record.instanceId)) this.#addDeparted(change);
    else this.departed.forget(change.record.instanceId);
  }

  /** One entry of the beats: these ids were renewed at this time of the store's clock. */
  renew(ids: string[], performances: string[] | undefined, atMs: number) {
    ids.forEach((id, i) => {
      const member = this.members.get(id);
      // A beat from before the registration is of an older incarnation.
      if (!member || atMs < member.record.registeredAtMs) return;
      this.#score(member, Math.max(member.scoreMs, atMs + member.record.ttlMs));
      member.renewedAtMs = Math.max(member.renewedAtMs, atMs);
      const performance = atMs >= member.renewedAtMs ? performances?.[i] : undefined;
      if (performance) {
        member.performance = performance;
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
  advance(watermarkMs: number, graceFromMs: number) {
    const clockSetBack = watermarkMs < this.watermarkMs - 1000;
    this.watermarkMs = watermarkMs;
    if (graceFromMs !== this.#graceFromMs || clockSetBack) this.#replan(graceFromMs);
    this.#lapses.advance(watermarkMs, (member) => this.#lapse(member));
    this.departed.advance(watermarkMs);
  }

  #put(record: LogRecord, scoreMs: number, changedBy: string) {
    const old = this.members.get(record.instanceId);
    if (old) this.#drop(old);
    this.departed.forget(record.instanceId);
    const { performance, renewedAtMs } = record;
    const group = this.#homeOf(record);
    const member: Member = { record, group, performance, renewedAtMs, changedBy, scoreMs, expiresAtMs: scoreMs, lapsed: true, run: undefined, step: NOT_PLANNED };
    this.members.set(record.instanceId, member);
    group.lapsed.add(member); // a change of one that has lapsed already does not show it again
    this.#score(member, scoreMs);
  }

  #depart(change: Change, known: Member | undefined) {
    const { record } = change;
    if (known && homeKey(known.record) !== homeKey(record)) return; // it lives elsewhere: a leftover of its old home was cleared away
    if (known) {
      this.#drop(known);
      this.members.delete(record.instanceId);
    }
    this.#addDeparted(change);
  }

  #addDeparted(change: Change) {
    this.departed.add({ kind: change.kind as 'removed' | 'expired', atMs: msOfId(change.id), change });
  }

  #drop(member: Member) {
    const { group } = member;
    this.#lapses.forget(member);
    if (member.lapsed) group.lapsed.delete(member);
    else {
      group.hide(member);
      this.#changed(group);
    }
    if (group.empty) this.#removeGroup(group);
  }

  #score(member: Member, scoreMs: number) {
    const { group, record } = member;
    member.scoreMs = scoreMs;
    member.expiresAtMs = leaseEndMs({ scoreMs, ttlMs: record.ttlMs, graceFromMs: this.#graceFromMs });
    group.renew(member);
    if (member.lapsed) {
      if (member.expiresAtMs <= this.watermarkMs) return;
      member.lapsed = false; // a heartbeat between the end of a lease and its event
      group.lapsed.delete(member);
      group.show(member);
      this.#changed(group);
    }
    this.#lapses.plan(member);
  }

  #lapse(member: Member) {
    const { group } = member;
    group.hide(member);
    member.lapsed = true;
    group.lapsed.add(member);
    this.#changed(group);
  }

  /** Every lease has another end now: by grace, or because the store's clock was set back. */
  #replan(graceFromMs: number) {
    this.#graceFromMs = graceFromMs;
    this.#lapses.clear();
    for (const member of this.members.values()) {
      member.step = NOT_PLANNED;
      this.#score(member, member.scoreMs);
    }
  }

  #changed(group: Group) {
    group.version = ++this.version;
    this.changedHomes.add(homeKey(group));
  }

  #homeOf({ type, group }: Home): Group {
    const key = homeKey({ type, group });
    let home = this.#byHome.get(key);
    if (!home) {
      home = new Group(type, group);
      this.#byHome.set(key, home);
      this.groups.splice(this.groupsBefore(home), 0, home);
    }
    return home;
  }

  /** How many groups come before this home in the order of type, then group. */
  groupsBefore(home: Home): number {
    let [low, high] = [0, this.groups.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (compareHomes(this.groups[middle] as Home, home) < 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #removeGroup(home: Group) {
    this.#byHome.delete(homeKey(home));
    this.groups.splice(this.groupsBefore(home), 1);
  }
}
