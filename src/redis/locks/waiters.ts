import type { Connection } from '../connect/connection.js';

/** The longest that Redis is asked to block, in seconds: less than the time-out of its connection. */
const BLOCK_SECONDS = 1;
const RETRY_MS = 250;

/** Who waits at this replica. Redis wakes the one whose turn it is by a list; who is not woken looks by himself after a while. */
export class Waiters {
  readonly #waiting = new Map<string, () => void>();
  #listening = false;
  #ended = false;

  constructor(
    private readonly connection: Connection,
    private readonly list: string,
  ) {}

  /** Resolves when it is this lease's turn, after so long, or when `signal` aborts. */
  turn(lease: string, ms: number, signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve) => {
      const over = () => {
        clearTimeout(timer);
        signal?.removeEventListener('abort', over);
        this.#waiting.delete(lease);
        resolve();
      };
      const timer = setTimeout(over, ms);
      signal?.addEventListener('abort', over, { once: true });
      this.#waiting.set(lease, over);
      if (!this.#listening) void this.#listen();
    });
  }

  /** Nobody is kept waiting any more. */
  end() {
    this.#ended = true;
    for (const over of this.#waiting.values()) over();
    this.connection.disconnect();
  }

  get ended(): boolean {
    return this.#ended;
  }

  async #listen() {
    this.#listening = true;
    if (this.connection.status === 'wait') this.connection.connect().catch(() => undefined); // it goes on trying
    while (this.#waiting.size > 0 && !this.#ended) {
      try {
        const [, said = ''] = (await this.connection.blpop(this.list, BLOCK_SECONDS)) ?? [];
        this.#waiting.get(said.slice(said.indexOf(' ') + 1))?.();
      } catch {
        await new Promise((passed) => setTimeout(passed, RETRY_MS)); // Redis is away: they look by themselves
      }
    }
    this.#listening = false;
  }
}
