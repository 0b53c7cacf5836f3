import { clearTimeout, setTimeout } from 'node:timers';
import type { Connection } from './connection.js';
import type { Scripts } from './scripts.js';

const INTERVAL_MS = 500;
/** Without an answer for this long the store counts as away. */
const FRESH_MS = 2000;

/**
 * This replica's sign of life in Redis, twice a second. It keeps `alive` young, so that Redis itself sees when nobody was
 * there to renew leases, and it tells how long Redis has been silent. Readers of the stream will take this over.
 */
export class Pulse {
  #answeredAt = -Infinity;
  #sweptAgoMs = 0;
  #timer: NodeJS.Timeout | undefined;
  #stopped = false;

  constructor(
    private readonly connection: Connection,
    private readonly scripts: Scripts,
    private readonly observe: (reachable: boolean) => void = () => undefined,
  ) {}

  /** Resolves once Redis has answered the first time. Rejects if it does not. */
  async start(): Promise<void> {
    await this.#beat();
    this.#schedule();
  }

  stop() {
    this.#stopped = true;
    clearTimeout(this.#timer);
  }

  /** Redis answered within the last two seconds. */
  get fresh(): boolean {
    return performance.now() - this.#answeredAt < FRESH_MS;
  }

  /** How long ago any replica began a sweep, by the clock of Redis; undefined while Redis is silent. */
  get sweptAgoMs(): number | undefined {
    return this.fresh ? this.#sweptAgoMs : undefined;
  }

  #schedule() {
    if (this.#stopped) return;
    this.#timer = setTimeout(() => {
      void this.#beat()
        .catch(() => this.observe(false)) // the connection logs its own loss once
        .then(() => this.#schedule());
    }, INTERVAL_MS);
  }

  async #beat() {
    const [now, , , , sweptAt] = (await this.scripts.run(this.connection, 'pulse', [''])) as string[];
    this.#answeredAt = performance.now();
    this.#sweptAgoMs = Number(now) - Number(sweptAt);
    this.observe(true);
  }
}
