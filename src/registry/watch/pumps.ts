import type { Watcher } from './watcher.js';

/** Watchers served in one turn of the event loop, and bytes written to them: some 5 ms. Everybody else's turn comes between. */
export const SERVED_A_TURN = 128;
const BYTES_A_TURN = 2 * 1024 * 1024;

/** Those who have something to be sent and take it, a piece each in turn, however many and however much it is. */
export class Pumps {
  readonly #queue = new Set<Watcher>();
  #scheduled = false;
  #served = false;

  get waiting() {
    return this.#queue.size;
  }

  readonly add = (watcher: Watcher) => {
    this.#queue.add(watcher);
    this.#schedule();
  };

  forget(watcher: Watcher) {
    this.#queue.delete(watcher);
  }

  /** One piece to each, as far as a turn allows; who has more to be sent goes to the end. Once in a turn, however often it is called. */
  turn() {
    if (this.#served) return;
    this.#served = true;
    this.#schedule();
    let [served, bytes] = [0, 0];
    for (const watcher of this.#queue) {
      if (++served > SERVED_A_TURN || bytes >= BYTES_A_TURN) break;
      this.#queue.delete(watcher);
      bytes += watcher.pump();
      if (watcher.reading && !watcher.current) this.#queue.add(watcher);
    }
  }

  #schedule() {
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = this.#served = false;
      if (this.#queue.size > 0) this.turn();
    });
  }
}
