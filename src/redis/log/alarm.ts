import { setTimeout as sleep } from 'node:timers/promises';
import type { Connection } from '../connect/connection.js';

/** With a reply that comes 0.7 s late still shorter than a silent socket is suffered (silence.ts). */
const BLOCK_MS = 1500;
const RETRY_MS = 100;

/**
 * Says when it is time to read the log: when there is something new in it, when somebody asks, or after `tickMs`. It waits for
 * news on a connection of its own. Waiting on the reader's would hold up whoever needs the present state now, and Redis,
 * when it is idle, ends a BLOCK of 20 ms only with its next tick, up to 100 ms late.
 */
export class Alarm {
  #rung = false;
  #waiting: (() => void) | undefined;
  #stopped = false;
  #running: Promise<void> | undefined;

  constructor(
    private readonly connection: Connection,
    private readonly stream: string,
    private readonly tickMs: number,
  ) {}

  /** `lastRead` tells the id of the last entry that was read. */
  start(lastRead: () => string) {
    this.#running = this.#listen(lastRead);
  }

  async stop() {
    this.#stopped = true;
    this.connection.disconnect();
    this.ring();
    await this.#running;
  }

  /** Read now. */
  ring() {
    this.#rung = true;
    this.#waiting?.();
  }

  /** Resolves when it is time; at once if it has rung since the last time. */
  async next(): Promise<void> {
    if (!this.#rung) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, this.tickMs);
        this.#waiting = () => {
          clearTimeout(timer);
          resolve();
        };
      });
      this.#waiting = undefined;
    }
    this.#rung = false;
  }

  async #listen(lastRead: () => string) {
    while (!this.#stopped) {
      const seen = lastRead();
      try {
        const news = await this.connection.xread('COUNT', 1, 'BLOCK', BLOCK_MS, 'STREAMS', this.stream, seen);
        if (news) this.ring();
        while (news && !this.#stopped && lastRead() === seen) await sleep(1); // until it has been read
      } catch {
        await sleep(RETRY_MS); // the tick goes on without it
      }
    }
  }
}
