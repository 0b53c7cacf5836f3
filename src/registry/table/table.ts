import { type Change, departureOf, isDeparture, isKnown, noteMove } from '../log/change.js';
import { TagSum } from '../log/content-tag.js';
import { Departed } from './departed.js';
import type { Group, Member } from './group.js';
import { Groups } from './groups.js';
import type { Hold } from '../hold.js';
import { NOT_PLANNED } from './lapses.js';
import { Leases } from './leases.js';
import { News } from './news.js';
import { withoutPerformance, type LogRecord, type Renewal } from '../log/record.js';
import { homeKey, type Home } from '../home.js';
import { compareIds, type Position } from '../revision.js';
import { flat } from '../log/text.js';

/** What heartbeats have changed, of a record that is older. */
type Renewed = Pick<Renewal, 'performance' | 'renewedAtMs'>;

/** A hold that nobody has released so long after its end was lost. */
const FORGOTTEN_MS = 10_000;

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
  readonly #leases: Leases;

  /** With the grace that is in force already, a load does not have to plan every lease a second time. */
  constructor(
    public position: Position,
    offlineMs: number,
    graceFromMs = 0,
    lullFromMs = 0,
  ) {
    this.#leases = new Leases(this.members, (member) => this.#changed(member.group, member.record), graceFromMs, lullFromMs);
    this.departed = new Departed(offlineMs);
  }

  /** Everything up to this time of the store's clock is taken into account; 0 before the first `advance`. */
  get watermarkMs(): number {
    return this.#leases.watermarkMs;
  }

  /** A record as the store holds it while the table is being loaded. `changedBy` is the id of its last change in this epoch, `of` in any. */
  load(record: LogRecord, scoreMs: number, changedBy: string, of = changedBy, renewal: Renewed = record) {
    this.#put(record, scoreMs, changedBy, of, renewal);
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
    for (const member of [...group.lapsed]) this.#leases.score(member, member.scoreMs);
  }

  /** One entry of the beats: these ids were renewed at this time of the store's clock. */
  renew(ids: string[], performances: string[] | undefined, atMs: number) {
    ids.forEach((id, i) => {
      const member = this.members.get(id);
      // A beat from before the registration is of an older incarnation, unless the clock was set back since.
      if (!member || (atMs < member.record.registeredAtMs && !this.#leases.isAhead(member.record.registeredAtMs))) return;
      this.#leases.score(member, Math.max(member.scoreMs, atMs + member.record.ttlMs));
      member.renewedAtMs = this.#leases.isAhead(member.renewedAtMs) ? atMs : Math.max(member.renewedAtMs, atMs);
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
    this.#leases.score(member, scoreMs);
  }

  /** The time of the store's clock, before what was read with it is applied: the clock may have been set back. */
  noteTime(nowMs: number) {
    this.#leases.noteTime(nowMs);
  }

  /**
   * Everything up to this time of the store's clock has been read: what has ended by then is no longer shown. False: not yet, for every
   * lease has another end now, or many ended at once, and that takes several turns; the watermark waits, and this is to be called again.
   */
  advance(watermarkMs: number, graceFromMs: number, lullFromMs = 0): boolean {
    if (!this.#leases.advance(watermarkMs, graceFromMs, lullFromMs)) return false;
    this.departed.advance(watermarkMs);
    for (const home of this.groups.heldUntil(watermarkMs - FORGOTTEN_MS)) this.#release(home);
    return true;
  }

  #put(record: LogRecord, scoreMs: number, changedBy: string, of = changedBy, { performance, renewedAtMs }: Renewed = record) {
    const old = this.members.get(record.instanceId);
    if (old) this.#drop(old);
    this.departed.forget(record.instanceId);
    const group = this.groups.open(record);
    const member: Member = { record: withoutPerformance(record), group, performance, renewedAtMs, changedBy, of, scoreMs, expiresAtMs: scoreMs, standing: 'lapsed', run: undefined, step: NOT_PLANNED };
    this.members.set(record.instanceId, member);
    this.content.add(record.tag);
    this.news.touched(record);
    group.lapsed.add(member); // a change of one that has lapsed already does not show it again
    this.#leases.score(member, scoreMs);
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
    this.#leases.forget(member);
    this.content.remove(member.record.tag);
    group.suspects.delete(member);
    if (member.standing === 'lapsed') group.lapsed.delete(member);
    else {
      group.hide(member);
      this.#changed(group, member.record);
    }
    if (group.empty) this.groups.remove(group);
  }

  #release(home: Home) {
    const group = this.groups.hold(home, undefined);
    if (!group) return;
    for (const member of [...group.suspects]) this.#leases.hide(member);
    this.#changed(group); // it is no longer explained
  }

  #changed(group: Group, record?: LogRecord) {
    group.version = ++this.version;
    this.news.changed(group);
    if (record) this.news.touched(record);
  }
}
