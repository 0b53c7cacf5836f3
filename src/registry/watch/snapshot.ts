import type { Member } from '../table/group.js';
import { revisionOf } from '../revision.js';
import type { Table } from '../table/table.js';
import type { Frames } from './frames.js';

/** A frame of a snapshot ends at either. What a reader that does not read holds is one frame. */
const FRAME_INSTANCES = 1000;
const FRAME_BYTES = 256 * 1024;
/** Finding a member takes as long as writing this many bytes. */
const LOOK_BYTES = 50;

/** What stood in a table at one position, in frames that are made when the first reader comes to them, once for all. */
export class Snapshot {
  readonly madeAt = performance.now();
  /** Id of the last change in it. */
  readonly told: string;
  readonly epoch: string;
  readonly #revision: string;
  readonly #frames: Buffer[] = [];
  #written = 0;
  #cost: number;

  constructor(
    readonly table: Table,
    private readonly members: Member[],
    /** Number of the first change of the topic that is not in it. */
    readonly cursor: number,
    private readonly frames: Frames,
  ) {
    this.told = table.position.id;
    this.epoch = table.position.epoch;
    this.#cost = LOOK_BYTES * members.length;
    this.#revision = revisionOf(table.position);
  }

  /** What finding the members cost, in about as many bytes written; it is paid by the first who asks. */
  takeCost(): number {
    const cost = this.#cost;
    this.#cost = 0;
    return cost;
  }

  *[Symbol.iterator](): Generator<Buffer> {
    for (let at = 0; at < this.#frames.length || this.#written < this.members.length || at === 0; at++) yield (this.#frames[at] ??= this.#next());
  }

  #next(): Buffer {
    const from = this.#written;
    let bytes = 0;
    while (this.#written < this.members.length && this.#written - from < FRAME_INSTANCES && bytes < FRAME_BYTES) {
      bytes += (this.members[this.#written++] as Member).record.head.length;
    }
    return this.frames.snapshot(this.members.slice(from, this.#written), this.#revision, this.#written === this.members.length);
  }
}
