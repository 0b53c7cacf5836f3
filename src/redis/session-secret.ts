import { randomBytes } from 'node:crypto';
import type { Logger } from 'pino';
import type { Store } from './scripts/store.js';

const LOOK_EVERY_MS = 5000;
const FORM = /^[0-9a-f]{64}$/;

/**
 * The secret that sessions are signed with, the same for every replica: 32 random bytes as hex under a key of Redis, made once. Each
 * replica remembers it, and gives it back to a Redis that has lost it; where two differ, what stands in Redis counts. So
 * sessions outlive a flush while a replica lives, and whoever writes another value ends them all.
 */
export class SessionSecret {
  #secret: string | undefined;
  #timer: NodeJS.Timeout | undefined;
  #failed = false;

  constructor(
    private readonly store: Pick<Store, 'connection' | 'keys'>,
    private readonly log: Logger,
  ) {}

  /** Undefined until Redis has been asked once. */
  get current(): Buffer | undefined {
    return this.#secret === undefined ? undefined : Buffer.from(this.#secret, 'hex');
  }

  start() {
    void this.look();
    this.#timer = setInterval(() => void this.look(), LOOK_EVERY_MS).unref();
  }

  stop() {
    clearInterval(this.#timer);
  }

  /** Reads it, and makes or restores it where there is none. What fails is tried again: until then the one that is known counts. */
  async look() {
    const { connection, keys } = this.store;
    const key = keys.sessionSecret;
    try {
      let held = await connection.get(key);
      if (held === null) {
        await connection.set(key, this.#secret ?? randomBytes(32).toString('hex'), 'NX');
        held = await connection.get(key);
      }
      if (held === null) return; // flushed in between
      if (!FORM.test(held)) throw new Error(`${key} holds no 64 hex digits: delete it`);
      this.#secret = held;
      this.#failed = false;
    } catch (error) {
      if (!this.#failed && this.store.connection.status === 'ready') this.log.warn({ err: error as Error }, 'the secret of sessions cannot be read');
      this.#failed = true;
    }
  }
}
