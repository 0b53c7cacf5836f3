interface Job {
  cost: number;
  work: () => void;
}

/**
 * Work of which one turn of the event loop does no more than a share, and at least one piece, however much is asked for in it. In the order in
 * which it came, with everybody else's turn between.
 */
export class TurnShare {
  readonly #queue: Job[] = [];
  #left: number;
  #scheduled = false;

  /** What work costs, and so the share of one turn, is counted in whatever its callers count. */
  constructor(private readonly share: number) {
    this.#left = share;
  }

  /** At once if this turn has some of its share left. */
  run(cost: number, work: () => void) {
    if (this.#queue.length > 0 || this.#left <= 0) this.#queue.push({ cost, work });
    else this.#do({ cost, work });
    this.#schedule();
  }

  /** In a later turn, before whatever else waits. */
  runNext(cost: number, work: () => void) {
    this.#queue.unshift({ cost, work });
    this.#left = 0;
    this.#schedule();
  }

  #do({ cost, work }: Job) {
    this.#left -= cost;
    work();
  }

  #schedule() {
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      this.#left = this.share;
      for (let job; this.#left > 0 && (job = this.#queue.shift()); ) this.#do(job);
      if (this.#queue.length > 0 || this.#left < this.share) this.#schedule();
    });
  }
}
