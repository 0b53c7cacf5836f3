import { Group } from './group.js';
import type { Hold } from '../hold.js';
import { compareHomes, homeKey, homeOfKey, type Home } from '../home.js';
import { lowerBound } from '../log/lower-bound.js';

/** The groups that have members, by home and in the order of type, then group. */
export class Groups {
  readonly #byHome = new Map<string, Group>();
  readonly #sorted: Group[] = [];
  readonly #holds = new Map<string, Hold>();

  get(home: Home): Group | undefined {
    return this.#byHome.get(homeKey(home));
  }

  /** The group of this home, which is made if need be. */
  open({ type, group }: Home): Group {
    const key = homeKey({ type, group });
    let home = this.#byHome.get(key);
    if (!home) {
      home = new Group(type, group);
      home.hold = this.#holds.get(key);
      this.#byHome.set(key, home);
      this.#sorted.splice(this.before(home), 0, home);
    }
    return home;
  }

  /** Notes that a group is held, or no longer; also one that has no members at the moment. */
  hold(home: Home, hold: Hold | undefined) {
    const group = this.get(home);
    if (group) group.hold = hold;
    if (hold) this.#holds.set(homeKey(home), hold);
    else this.#holds.delete(homeKey(home));
    return group;
  }

  /** Those whose hold ended by this time. */
  heldUntil(ms: number): Home[] {
    return [...this.#holds].filter(([, { untilMs }]) => untilMs <= ms).map(([key]) => homeOfKey(key));
  }

  /** How many are held. */
  get held() {
    return this.#holds.size;
  }

  remove(home: Home) {
    this.#byHome.delete(homeKey(home));
    this.#sorted.splice(this.before(home), 1);
  }

  /** How many come before this home. */
  before(home: Home): number {
    return lowerBound(0, this.#sorted.length, (at) => compareHomes(this.#sorted[at] as Group, home) < 0);
  }

  /** The one with this number, in order. */
  at(number: number): Group | undefined {
    return this.#sorted[number];
  }

  [Symbol.iterator]() {
    return this.#sorted.values();
  }
}
