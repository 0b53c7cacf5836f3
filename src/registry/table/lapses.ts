/** How exactly the end of a lease is kept: W itself moves in steps of about 20 ms. */
const STEP_MS = 10;
/** The step of a lease that is not planned. */
export const NOT_PLANNED = -1;

export interface Lapsing {
  /** The step in which it is looked at next; the schedule's own. */
  step: number;
}

/**
 * Who has to be looked at when. A renewal costs nothing: a lease stays where it is planned, and is planned anew only when its
 * step comes and it turns out to end later. So an instance is touched about once per lease, however often it beats.
 */
export class LapseSchedule<T extends Lapsing> {
  readonly #steps = new Map<number, Set<T>>();
  #next = 0;

  /** `endOf` tells the end of a lease as it stands now, in ms of the store's clock. */
  constructor(private readonly endOf: (lease: T) => number) {}

  /** Plans a lease, or plans it for earlier than it is. */
  plan(lease: T) {
    const step = Math.max(Math.floor(this.endOf(lease) / STEP_MS), this.#next);
    if (lease.step !== NOT_PLANNED && lease.step <= step) return;
    this.#put(lease, step);
  }

  forget(lease: T) {
    const leases = this.#steps.get(lease.step);
    if (leases?.delete(lease) && leases.size === 0) this.#steps.delete(lease.step);
    lease.step = NOT_PLANNED;
  }

  /** Takes out, and gives to `lapse`, every lease whose end is `nowMs` or earlier; false when `most` have been looked at, and some are left. */
  advance(nowMs: number, lapse: (lease: T) => void, most = Infinity): boolean {
    const last = Math.floor(nowMs / STEP_MS);
    let left = most;
    for (const step of this.#upTo(last)) {
      const leases = this.#steps.get(step);
      if (!leases) continue;
      this.#steps.delete(step);
      this.#next = step;
      for (const lease of leases) {
        if (left-- <= 0) {
          this.#putBack(step, leases);
          return false;
        }
        leases.delete(lease);
        if (lease.step !== step) continue; // forgotten, or planned anew
        const ends = this.endOf(lease);
        if (ends > nowMs) {
          this.#put(lease, Math.floor(ends / STEP_MS));
          continue;
        }
        lease.step = NOT_PLANNED;
        lapse(lease);
      }
    }
    this.#next = Math.max(this.#next, last);
    return true;
  }

  /** The clock was set back: what is planned from now on may come before what was looked at last. */
  rewind() {
    this.#next = 0;
  }

  #putBack(step: number, leases: Set<T>) {
    for (const lease of this.#steps.get(step) ?? []) leases.add(lease);
    this.#steps.set(step, leases);
  }

  #put(lease: T, step: number) {
    this.forget(lease);
    lease.step = step;
    const leases = this.#steps.get(step);
    if (leases) leases.add(lease);
    else this.#steps.set(step, new Set([lease]));
  }

  /** The steps from the next one on; after a long silence only those that hold something. */
  #upTo(last: number): number[] {
    const count = last - this.#next + 1;
    if (count <= 0) return [];
    if (count > this.#steps.size) return [...this.#steps.keys()].filter((step) => step <= last).sort((a, b) => a - b);
    return Array.from({ length: count }, (_, i) => this.#next + i);
  }
}
