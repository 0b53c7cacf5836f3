import type { Source } from '../scripts/store.js';

/** Leases of one round trip: 50,000 are read in as many round trips as it takes to be ready in seconds where one takes 22 ms. */
const PAGE = 2000;

export interface LeasePage {
  /** `<type>:<group>:<id>` */
  members: string[];
  /** Ends of the leases, in ms. */
  scores: number[];
}

/** Every lease, a page at a time. One that stays throughout is given at least once. The next page is on its way while one is worked on. */
export class LeaseWalk {
  #coming: Promise<[cursor: string, flat: string[]]> | undefined;
  #over = false;

  constructor(private readonly source: Source) {}

  /** Undefined after the last. Once it has rejected it is of no more use: another server's cursors are not this one's. */
  async next(): Promise<LeasePage | undefined> {
    if (this.#over) return undefined;
    const [cursor, flat] = await (this.#coming ?? this.#ask('0'));
    this.#over = cursor === '0';
    if (!this.#over) {
      this.#coming = this.#ask(cursor);
      this.#coming.catch(() => undefined); // told to whoever asks for it
    }
    return { members: flat.filter((_, i) => i % 2 === 0), scores: flat.filter((_, i) => i % 2 === 1).map(Number) };
  }

  #ask(cursor: string) {
    const { connection, keys } = this.source;
    return connection.zscan(keys.leases, cursor, 'COUNT', PAGE);
  }
}
