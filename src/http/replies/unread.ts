import type { ServerResponse } from 'node:http';
import { RegistryError } from '../../registry/errors.js';

/** Shorter ones fit into the socket's own room. */
const COUNTED_FROM = 64 * 1024;
export const UNREAD_BYTES = { perToken: 64 * 1024 * 1024, overall: 256 * 1024 * 1024 } as const;

/** What has a body of about this size. */
interface Sized {
  readonly size: number;
}

/** Answers on their way. One that many are sent is held once. */
class Held {
  bytes = 0;
  readonly #readers = new Map<object, { count: number; size: number }>();

  add(answer: object, size: number) {
    const known = this.#readers.get(answer);
    if (known) return void known.count++;
    this.bytes += size;
    this.#readers.set(answer, { count: 1, size });
  }

  remove(answer: object) {
    const known = this.#readers.get(answer);
    if (!known || --known.count > 0) return;
    this.#readers.delete(answer);
    this.bytes -= known.size;
  }
}

/**
 * Large answers that have not been taken yet. One caller with many connections who reads none would have this process keep a page of
 * megabytes for each.
 */
export class Unread {
  readonly #all = new Held();
  readonly #byToken = new Map<string, Held>();

  get bytes() {
    return this.#all.bytes;
  }

  /**
   * Counts an answer until it has been sent or its reader has gone. To be called before its body is made: what is refused costs nothing.
   * @throws {RegistryError} rate_limited when this token has left as much unread as it may, overloaded when all together have.
   */
  hold<T extends Sized>(answer: T, token: string, response: ServerResponse): T {
    if (answer.size < COUNTED_FROM || response.destroyed) return answer;
    const { perToken, overall } = UNREAD_BYTES;
    const mine = this.#byToken.get(token) ?? new Held();
    if (mine.bytes >= perToken) throw new RegistryError('rate_limited', `this token has ${perToken / 1024 / 1024} MiB of answers that it has not read, which is as much as it may have: read them first`);
    if (this.#all.bytes >= overall) throw new RegistryError('overloaded', `${overall / 1024 / 1024} MiB of answers have not been read by their callers: try again`);
    this.#byToken.set(token, mine);
    for (const held of [mine, this.#all]) held.add(answer, answer.size);
    response.once('close', () => {
      for (const held of [mine, this.#all]) held.remove(answer);
      if (mine.bytes === 0) this.#byToken.delete(token);
    });
    return answer;
  }
}
