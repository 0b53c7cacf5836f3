import type { Change } from './change.js';
import { lowerBound } from './lower-bound.js';
import { compareIds } from '../revision.js';

/** The latest changes, in order, by a number that grows by one with each of them. */
export class Ring {
  readonly #changes: Change[];
  #next = 0;
  /** Less than 0 by as many as were put in front. */
  #oldest = 0;

  constructor(readonly capacity: number) {
    this.#changes = new Array<Change>(capacity);
  }

  /** Number of the oldest change still here. */
  get first() {
    return Math.max(this.#oldest, this.#next - this.capacity);
  }

  get hasRoom() {
    return this.#next - this.first < this.capacity;
  }

  /** Number that the next change will have. */
  get next() {
    return this.#next;
  }

  /** How many more changes may come before the one with this number is dropped. */
  left(number: number): number {
    return this.capacity - (this.#next - number);
  }

  push(change: Change) {
    this.#changes[this.#placeOf(this.#next++)] = change;
  }

  /** Puts a change in front, for which there must be room: the log is read forward and backward at once while a view is loaded. */
  unshift(change: Change) {
    this.#changes[this.#placeOf(--this.#oldest)] = change;
  }

  at(number: number): Change | undefined {
    return number >= this.first && number < this.#next ? this.#changes[this.#placeOf(number)] : undefined;
  }

  #placeOf(number: number): number {
    const rest = number % this.capacity;
    return rest < 0 ? rest + this.capacity : rest;
  }

  /** The changes up to the one with this id, as the beginning of another ring: as changes of the epoch in which the log goes on. */
  upTo(id: string, epoch: string): Ring {
    const ring = new Ring(this.capacity);
    const last = this.#numberOf(id) ?? -Infinity;
    for (let at = this.first; at <= last; at++) ring.push({ ...(this.at(at) as Change), epoch });
    return ring;
  }

  /** The changes behind the one with this id; all, when it is older than they are, or none. */
  behind(id: string): Change[] {
    return this.since((this.#numberOf(id) ?? this.first - 1) + 1);
  }

  /** The latest with this id, whatever the order of ids. */
  #numberOf(id: string): number | undefined {
    for (let at = this.#next - 1; at >= this.first; at--) if (this.at(at)?.id === id) return at;
    return undefined;
  }

  since(number: number): Change[] {
    return Array.from({ length: Math.max(0, this.#next - number) }, (_, i) => this.at(number + i) as Change);
  }

  /** Number of the change that follows the one with this id; undefined if that one is not here. */
  after(id: string): number | undefined {
    if (id === this.at(this.first)?.prev) return this.first;
    const number = lowerBound(this.first, this.#next, (at) => compareIds((this.at(at) as Change).id, id) < 0);
    return this.at(number)?.id === id ? number + 1 : undefined;
  }
}
