import type { Member } from './group.js';
import { LapseSchedule } from './lapses.js';
import { leaseEndMs, SHORT_LEASE_MS, standingOf, type Standing } from '../lease.js';

/** What lies further ahead of the store's clock than this was written before the store's clock was set back. */
const SET_BACK_MS = 1000;
/** Leases that are given another end in one turn of the event loop: some 10 ms. */
export const REPLANNED_AT_ONCE = 5000;

/** Leases that are looked at in one turn because they may have ended: as many. A fleet that fell silent at once ends in one step. */
export const LAPSED_AT_ONCE = 5000;

/** Every lease has another end. */
interface Replan {
  left: Iterator<Member, undefined>;
  /** Those of up to `SHORT_LEASE_MS` only. */
  short: boolean;
  /** The store's clock was set back. */
  cut: boolean;
}

/** When each member's lease ends, and by that whether it is shown: live, as a suspect, or not at all. */
export class Leases {
  watermarkMs = 0;
  /** What time it was for the store when it was last asked. */
  #nowMs = 0;
  readonly #lapses = new LapseSchedule<Member>(leavesAt);
  #replan: Replan | undefined;
  #wasSetBack = false;

  constructor(
    private readonly members: ReadonlyMap<string, Member>,
    /** Called when one is shown, hidden, or shown otherwise. */
    private readonly changed: (member: Member) => void,
    private graceFromMs: number,
    private lullFromMs: number,
  ) {}

  /** A time that was written before the store's clock was set back. */
  isAhead(ms: number): boolean {
    const nowMs = Math.max(this.watermarkMs, this.#nowMs);
    return nowMs > 0 && ms > nowMs + SET_BACK_MS;
  }

  /** The lease's end as the store has it, grace not counted; or the same again, when something else decides its end now. */
  score(member: Member, scoreMs: number) {
    const { group, record } = member;
    member.scoreMs = scoreMs;
    member.expiresAtMs = leaseEndMs({ scoreMs, ttlMs: record.ttlMs, graceFromMs: this.graceFromMs, lullFromMs: this.lullFromMs });
    group.renew(member);
    const standing = standingOf(member.expiresAtMs, group.hold?.untilMs ?? 0, this.watermarkMs);
    if (standing === 'lapsed' && member.standing === 'lapsed') return;
    if (standing !== 'lapsed' && standing !== member.standing) this.#place(member, standing); // one that lapses is hidden when its step comes
    this.#lapses.plan(member);
  }

  /** It is gone, or replaced. */
  forget(member: Member) {
    this.#lapses.forget(member);
  }

  /** It is shown no more, before its departure is told. */
  hide(member: Member) {
    this.#lapses.forget(member);
    this.#place(member, 'lapsed');
  }

  /**
   * Where the store's clock was set back the watermark goes back with it at once, for nothing lapses by that; a lease of the new time would be
   * over before it began. What else it means for leases comes with the next `advance`.
   */
  noteTime(nowMs: number) {
    this.#nowMs = nowMs; // a table that is being read has no watermark yet, and beats all the same
    if (nowMs >= this.watermarkMs - SET_BACK_MS) return;
    this.watermarkMs = nowMs;
    this.#lapses.rewind();
    this.#wasSetBack = true;
  }

  /**
   * False: some are still to be looked at, by calling again, because every lease has another end now, or many ended at once. Until then
   * the watermark waits.
   */
  advance(watermarkMs: number, graceFromMs: number, lullFromMs: number): boolean {
    if (watermarkMs < this.watermarkMs - SET_BACK_MS) this.noteTime(watermarkMs);
    const cut = this.#wasSetBack;
    this.#wasSetBack = false;
    const all = cut || graceFromMs !== this.graceFromMs;
    if (all || lullFromMs !== this.lullFromMs) {
      const before = this.#replan;
      this.#replan = { left: this.members.values(), short: !all && (before?.short ?? true), cut: cut || (before?.cut ?? false) };
    }
    this.graceFromMs = graceFromMs;
    this.lullFromMs = lullFromMs;
    if (!this.#replanSome(watermarkMs)) return false;
    if (!this.#lapses.advance(watermarkMs, (member) => this.#lapse(member, watermarkMs), LAPSED_AT_ONCE)) return false;
    this.watermarkMs = watermarkMs;
    return true;
  }

  /** True when none is left. */
  #replanSome(nowMs: number): boolean {
    if (!this.#replan) return true;
    const { left, short, cut } = this.#replan;
    for (let n = 0; n < REPLANNED_AT_ONCE; n++) {
      const next = left.next();
      if (next.done) {
        this.#replan = undefined;
        return true;
      }
      const member = next.value;
      // No lease ends later than one ttl from now; lua/include/setback.lua cuts those in the store.
      if (!short || member.record.ttlMs <= SHORT_LEASE_MS) this.score(member, cut ? Math.min(member.scoreMs, nowMs + member.record.ttlMs) : member.scoreMs);
    }
    return false;
  }

  #lapse(member: Member, nowMs: number) {
    if (standingOf(member.expiresAtMs, member.group.hold?.untilMs ?? 0, nowMs) === 'suspect') {
      this.#place(member, 'suspect');
      this.#lapses.plan(member);
    } else this.hide(member);
  }

  /** Out of its group and in again, as what it is now: what is visible of a group is summed up by what it shows. */
  #place(member: Member, standing: Standing) {
    const { group } = member;
    group.hide(member);
    group.lapsed.delete(member);
    group.suspects.delete(member);
    member.standing = standing;
    if (standing === 'suspect') group.suspects.add(member);
    if (standing === 'lapsed') group.lapsed.add(member);
    else group.show(member);
    this.changed(member);
  }
}

/** A suspect leaves with the end of the hold, anybody else with the end of the lease. */
const leavesAt = ({ standing, expiresAtMs, group }: Member) => (standing === 'suspect' ? Math.max(expiresAtMs, group.hold?.untilMs ?? 0) : expiresAtMs);
