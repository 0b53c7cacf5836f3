import { RegistryError } from '../errors.js';

interface Wait {
  isOver: () => boolean;
  settle: (reached: boolean) => void;
}

/** Callers who wait for the view to come as far as they need it. */
export class Waits {
  readonly #waits = new Set<Wait>();

  /** Rejects with `store_unavailable` when `isOver` is not true within `timeoutMs`. */
  until(isOver: () => boolean, timeoutMs: number): Promise<void> {
    if (isOver()) return Promise.resolve();
    return new Promise((resolve, reject) => {
      const settle = (reached: boolean) => {
        this.#waits.delete(wait);
        clearTimeout(timer);
        if (reached) resolve();
        else reject(new RegistryError('store_unavailable', 'this replica has not read the log that far yet: try again'));
      };
      const wait: Wait = { isOver, settle };
      const timer = setTimeout(settle, timeoutMs, false);
      this.#waits.add(wait);
    });
  }

  /** The view has moved. */
  check() {
    for (const wait of this.#waits) if (wait.isOver()) wait.settle(true);
  }
}
