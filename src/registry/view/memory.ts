import type { Change } from '../log/change.js';
import type { Ring } from '../log/ring.js';
import type { Hold } from '../hold.js';
import type { Home } from '../home.js';
import type { Position } from '../revision.js';
import type { Table } from '../table/table.js';

/** Where the log goes on after a loss, and what is known of it up to there. */
export interface ResumePoint {
  position: Position;
  /** The changes up to there that the store still has. */
  ring: Ring;
  holds: [Home, Hold][];
}

/** The registry as it stands, and the latest changes that led to it. One owner for both: each change goes into all of it. */
export class Memory {
  /** All that were read of late, those too that the store has lost since. */
  readonly remembered: Ring;
  #ring: Ring;

  constructor(
    readonly table: Table,
    ring: Ring,
  ) {
    this.#ring = this.remembered = ring;
  }

  /** Those of the log as it is now: who resumes goes on in here. */
  get ring(): Ring {
    return this.#ring;
  }

  apply(change: Change) {
    this.table.apply(change);
    this.#ring.push(change);
    if (this.remembered !== this.#ring) this.remembered.push(change);
  }

  /** The log is another, and goes on from here. The content is the same: what the store lacks of it is about to be restored. */
  rebase({ position, ring, holds }: ResumePoint) {
    this.table.rebase(position, holds);
    this.#ring = ring;
  }
}
