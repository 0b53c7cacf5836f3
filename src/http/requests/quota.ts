import { RegistryError } from '../../registry/errors.js';

/** What takes long, and how much of it one token, and all together, may have under way in one replica. */
export const CAPS = {
  watch: { perToken: 10_000, overall: 20_000, what: 'watchers' },
  poll: { perToken: 10_000, overall: 20_000, what: 'long polls' },
  searchingPoll: { perToken: 1000, overall: 4000, what: 'long polls for anything but a whole group' },
  lock: { perToken: 2000, overall: 4000, what: 'waits for locks' },
  search: { perToken: 100, overall: 400, what: 'searches' },
} as const;

export type Lasting = keyof typeof CAPS;

/** Counts what lasts, so that one caller cannot have all of it. */
export class Quota {
  readonly #counts = new Map<string, number>();

  /**
   * Call what it returns when it is over, once.
   * @throws {RegistryError} rate_limited when this token has as many as it may have, overloaded when all together do.
   */
  enter(kinds: Lasting[], token: string): () => void {
    for (const kind of kinds) {
      const { perToken, overall, what } = CAPS[kind];
      if (this.#of(`${kind} ${token}`) >= perToken) throw new RegistryError('rate_limited', `this token has ${perToken} ${what} under way in this replica, which is as many as it may have`);
      if (this.#of(kind) >= overall) throw new RegistryError('overloaded', `this replica has ${overall} ${what} under way: try again`);
    }
    const keys = kinds.flatMap((kind) => [kind, `${kind} ${token}`]);
    for (const key of keys) this.#counts.set(key, this.#of(key) + 1);
    return () => {
      for (const key of keys) {
        const left = this.#of(key) - 1;
        if (left > 0) this.#counts.set(key, left);
        else this.#counts.delete(key);
      }
    };
  }

  #of(key: string): number {
    return this.#counts.get(key) ?? 0;
  }
}
