import type { Departure } from './change.js';

/** More than these are not remembered, the earliest go first: whole fleets can leave at once, and memory must not follow. */
const MAX_DEPARTED = 20_000;

/** Who has left lately, and how. */
export class Departed {
  readonly #byId = new Map<string, Departure>(); // in the order of departure

  constructor(private readonly keptMs: number) {}

  add(departure: Departure) {
    const { instanceId } = departure.change.record;
    this.#byId.delete(instanceId);
    this.#byId.set(instanceId, departure);
    if (this.#byId.size > MAX_DEPARTED) this.forget(this.#byId.keys().next().value as string);
  }

  /** Back again, or never left. */
  forget(instanceId: string) {
    this.#byId.delete(instanceId);
  }

  /** Drops what left too long ago, by the store's clock. */
  advance(nowMs: number) {
    for (const [id, { atMs }] of this.#byId) {
      if (atMs + this.keptMs > nowMs) return;
      this.#byId.delete(id);
    }
  }

  [Symbol.iterator]() {
    return this.#byId.values();
  }
}
