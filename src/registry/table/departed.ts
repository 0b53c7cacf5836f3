import { departureOf, type Change, type Departure } from '../log/change.js';
import { compareHomes, compareNames, homeKey, type Home } from '../home.js';
import { lowerBound } from '../log/lower-bound.js';

/** More than these are not remembered, the earliest go first: whole fleets can leave at once, and memory must not follow. */
export const MAX_DEPARTED = 20_000;

/** Those of one home; in order of their ids once somebody asks for that. */
interface Left extends Home {
  byId: Map<string, Departure>;
  sorted: Departure[] | undefined;
}

/** Who has left lately, and how. */
export class Departed {
  readonly #byId = new Map<string, Departure>(); // in the order of departure
  readonly #byHome = new Map<string, Left>();
  readonly #homes: Left[] = [];
  /** Greater with every change. */
  version = 0;

  constructor(private readonly keptMs: number) {}

  add(departure: Departure) {
    const { record } = departure.change;
    this.forget(record.instanceId);
    this.#byId.set(record.instanceId, departure);
    const left = this.#open(record);
    left.byId.set(record.instanceId, departure);
    left.sorted = undefined;
    this.version++;
    if (this.#byId.size > MAX_DEPARTED) this.forget(this.#byId.keys().next().value as string);
  }

  /** Who left before all that are known here, the latest first. */
  precede(earlier: Change[]) {
    const later = [...this.#byId.values()];
    const room = Math.max(0, MAX_DEPARTED - later.length);
    const first = earlier.filter(({ record }) => !this.#byId.has(record.instanceId)).slice(0, room).reverse().map(departureOf);
    for (const departure of [...first, ...later]) this.add(departure);
  }

  /** Back again, or never left. */
  forget(instanceId: string) {
    const departure = this.#byId.get(instanceId);
    if (!departure) return;
    this.#byId.delete(instanceId);
    this.version++;
    const key = homeKey(departure.change.record);
    const left = this.#byHome.get(key) as Left;
    left.byId.delete(instanceId);
    left.sorted = undefined;
    if (left.byId.size > 0) return;
    this.#byHome.delete(key);
    this.#homes.splice(this.#before(left), 1);
  }

  /** Drops what left too long ago, by the store's clock. */
  advance(nowMs: number) {
    for (const [id, { atMs }] of this.#byId) {
      if (atMs + this.keptMs > nowMs) return;
      this.forget(id);
    }
  }

  get(instanceId: string): Departure | undefined {
    return this.#byId.get(instanceId);
  }

  /** The first home at this place or behind it, in the order of type and group, which somebody left. */
  homeFrom(home: Home): Home | undefined {
    return this.#homes[this.#before(home)];
  }

  /** Those who left this home, in the order of their ids. */
  of(home: Home): readonly Departure[] {
    const left = this.#byHome.get(homeKey(home));
    return left ? (left.sorted ??= [...left.byId.values()].sort((a, b) => compareNames(a.change.record.instanceId, b.change.record.instanceId))) : [];
  }

  [Symbol.iterator]() {
    return this.#byId.values();
  }

  #open({ type, group }: Home): Left {
    const key = homeKey({ type, group });
    let left = this.#byHome.get(key);
    if (!left) {
      left = { type, group, byId: new Map(), sorted: undefined };
      this.#byHome.set(key, left);
      this.#homes.splice(this.#before(left), 0, left);
    }
    return left;
  }

  #before(home: Home): number {
    return lowerBound(0, this.#homes.length, (at) => compareHomes(this.#homes[at] as Home, home) < 0);
  }
}
