import type { Life } from './load.js';

interface Outage {
  from: number;
  /** Just before Redis was let back, and when it surely was. */
  back?: { earliest: number; latest: number };
  /** Every lease gets a ttl from the return. */
  grace: boolean;
}

/** When nobody could renew. The fault says so; the rule of leases (DESIGN section 5) decides what follows from it. */
export class Outages {
  readonly #all: Outage[] = [];
  /** Members of held groups stay for one ttl more. */
  holds = false;

  begin() {
    this.#all.push({ from: Date.now(), grace: false });
  }

  /** Lets Redis back by `act`. `grace`: it was longer than 3 s, or data was lost. Gives the moment from which it may be back. */
  async end(act: () => unknown, grace = true) {
    const outage = this.#all.at(-1) as Outage;
    const earliest = Date.now();
    await act();
    Object.assign(outage, { back: { earliest, latest: Date.now() }, grace });
    return earliest;
  }

  /** Whether its lease cannot have ended at this moment, whatever the last renewal. */
  covers(life: Life, at: number): boolean {
    return this.#all.some(({ from, back, grace }) => at >= from && (!back || at <= back.earliest + (grace ? life.ttlMs : 0)));
  }

  /** The latest end that the lease of one that is dead can have. */
  endOf(life: Life): number {
    const ends = this.#all.filter(({ back }) => back).map(({ back, grace }) => (back?.latest ?? 0) + (grace ? life.ttlMs : 0));
    return Math.max(life.triedAt + life.ttlMs, ...ends) + (this.holds ? life.ttlMs : 0);
  }

  get open() {
    return this.#all.some(({ back }) => !back);
  }
}
