/** Work that can be done a part at a time. */
export interface Sliced {
  readonly done: boolean;
  /** Goes on until it is done or has looked at about this many items. Returns how many it looked at. */
  step: (budget: number) => number;
}

/** Items looked at in one turn of the event loop, by all who look together: 1 to 2 ms. */
export const LOOKED_AT_A_TURN = 5000;

interface Job {
  work: Sliced;
  settle: (error?: Error) => void;
}

/**
 * Long looks through the registry, in slices with the event loop's other work between them, in turn if there are several. However
 * many are asked for at once, a turn looks at no more than its share.
 */
export class Slices {
  readonly #queue: Job[] = [];
  #left = LOOKED_AT_A_TURN;
  #scheduled = false;

  /** How many are under way. */
  get waiting() {
    return this.#queue.length;
  }

  /** Does the work at once as far as this turn allows; undefined when that was all of it. */
  run(work: Sliced): Promise<void> | undefined {
    if (this.#queue.length === 0) {
      this.#step(work);
      if (work.done) return undefined;
    }
    this.#schedule();
    return new Promise((resolve, reject) => {
      this.#queue.push({ work, settle: (error) => (error === undefined ? resolve() : reject(error)) });
    });
  }

  #step(work: Sliced) {
    if (this.#left <= 0) return;
    this.#schedule();
    this.#left -= work.step(this.#left);
  }

  #schedule() {
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      this.#left = LOOKED_AT_A_TURN;
      this.#turn();
    });
  }

  #turn() {
    while (this.#left > 0) {
      const job = this.#queue.shift();
      if (!job) return;
      try {
        this.#step(job.work);
      } catch (error) {
        job.settle(error as Error);
        continue;
      }
      if (job.work.done) job.settle();
      else this.#queue.push(job);
    }
    if (this.#queue.length > 0) this.#schedule();
  }
}
