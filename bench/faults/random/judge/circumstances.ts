import type { Entry, History, Struck } from '../history.js';

/** So long may an answer that is not marked lag behind what was acknowledged, and a little for the clocks of two processes. */
export const FRESH_MS = 1100;
/** Until replicas have given back what Redis lost, and read what others gave back. */
const RESTORING_MS = 8000;
/** A shorter outage may pass for none, a longer one surely gives every lease a ttl from its end. */
const SURE_OUTAGE_MS = 3600;
/** A command is given up after a second; what a replica was told just before it was troubled goes out after. */
const LATE_MS = 1500;

const LOSSES = ['empty', 'flush'];
const OUTAGES = ['restart', 'empty', 'freeze', 'pause'];

/** What was done to Redis and to the replicas, and what the rules make of it. */
export class Circumstances {
  readonly losses: Struck[];
  readonly outages: Struck[];
  readonly faults: Struck[];
  readonly graces: number[];
  /** Redis' clock was set: what its times mean is not known then. */
  readonly skews: Struck[];
  readonly startedAt: number;
  readonly #held: Entry[];
  readonly #expiries = new Map<string, number>();
  readonly #of: Struck[][];

  constructor(readonly history: History) {
    this.faults = history.of('fault').sort((a, b) => a.from - b.from);
    this.losses = this.faults.filter(({ kind }) => LOSSES.includes(kind));
    this.outages = this.faults.filter(({ kind }) => OUTAGES.includes(kind));
    this.skews = this.faults.filter(({ kind }) => kind === 'redisClock');
    this.graces = [...history.of('grace'), ...history.of('lull')].map(({ at }) => at); // leases of nine seconds have both
    this.startedAt = history.of('run')[0]?.at ?? 0;
    this.#held = history.of('entry').filter(({ kind }) => kind === 'held');
    for (const { event, id, inc, at } of history.of('frame')) if (event === 'expired') this.#expiries.set(`${id} ${inc}`, Math.min(at, this.#expiries.get(`${id} ${inc}`) ?? at));
    this.#of = [0, 1, 2].map((n) => this.faults.filter(({ replica, kind }) => replica === n && kind !== 'clock'));
  }

  /** Nothing was done to this replica in this time, and nothing just before. */
  wasWell(replica: number, from: number, to: number): boolean {
    return !(this.#of[replica] ?? []).some((fault) => fault.from <= to && fault.to + LATE_MS >= from);
  }

  /** The latest moment at which a call that got no answer, or 503, may still have happened. */
  lastEffect(replica: number, sentAt: number, receivedAt: number): number {
    const meanwhile = this.faults.filter((fault) => (fault.replica === replica || fault.replica === undefined) && fault.from <= receivedAt && fault.to >= sentAt);
    return Math.max(receivedAt, ...meanwhile.map(({ to }) => to)) + LATE_MS;
  }

  /**
   * Until when it may be open whether what was acknowledged by this replica at that time is so: Infinity when nobody need know it any more,
   * because whoever knew it was in trouble when Redis lost it; `at` when no loss concerns it.
   */
  openUntil(replica: number, at: number): number {
    let until = at;
    for (const { from, to } of this.losses) {
      if (at > to + 100) continue;
      const keeps = (other: number) => this.wasWell(other, from - 100, to + RESTORING_MS);
      const told = keeps(replica) && this.wasWell(replica, at, from);
      const read = [0, 1, 2].some((other) => keeps(other) && at < from - FRESH_MS && (this.wasWell(other, at, at + FRESH_MS) || this.wasWell(other, from - FRESH_MS, from)));
      if (!told && !read) return Infinity;
      if (at > from - FRESH_MS) until = Math.max(until, to + RESTORING_MS);
    }
    return until;
  }

  /** A lease that was in force when this began is in force until a ttl after its end. */
  coveredUntil(inForceAt: (time: number) => boolean, time: number, ttlMs: number): boolean {
    return this.outages.some(({ from, to }) => to - from >= SURE_OUTAGE_MS && time >= from && time <= to + ttlMs - 200 && inForceAt(from));
  }

  /** A watcher was told so by then. */
  wasToldExpired(id: string, inc: string, by: number): boolean {
    return (this.#expiries.get(`${id} ${inc}`) ?? Infinity) <= by;
  }

  /** Who lapsed then may have been waited for. */
  wasHeld(group: string, at: number): boolean {
    return this.#held.some((each) => each.group === group && each.at <= at && at - each.at < 30_000);
  }

  near(list: Struck[], at: number, beforeMs: number, afterMs: number): boolean {
    return list.some(({ from, to }) => at >= from - beforeMs && at <= to + afterMs);
  }

  /** For the reader of a violation: what was done in the seconds before. */
  describe(at: number): string {
    return this.faults.filter(({ from, to }) => from <= at && to >= at - 15_000)
      .map(({ kind, replica, value, from, to }) => `${kind}${replica === undefined ? '' : ` of ${replica}`}${value === undefined ? '' : ` ${value}`} ${ago(at, from)} to ${ago(at, to)}`).join('; ');
  }
}

const ago = (at: number, time: number) => `${((time - at) / 1000).toFixed(1)} s`;
