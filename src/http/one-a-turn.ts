/** Work that takes long for one turn of the event loop, so that no two parts of it fall into the same one. In the order in which it came. */
export class OneATurn {
  readonly #queue: (() => void)[] = [];
  #busy = false;

  /** At once if this turn has had none yet. */
  run(work: () => void) {
    if (this.#busy) this.#queue.push(work);
    else this.#do(work);
  }

  #do(work: () => void) {
    this.#busy = true;
    setImmediate(() => {
      this.#busy = false;
      const next = this.#queue.shift();
      if (next) this.#do(next);
    });
    work();
  }
}
