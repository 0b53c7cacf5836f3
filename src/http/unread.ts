import type { ServerResponse } from 'node:http';
import { RegistryError } from '../registry/errors.js';

/** Shorter ones fit into the socket's own room. */
const COUNTED_FROM = 64 * 1024;
export const UNREAD_BYTES = { perToken: 64 * 1024 * 1024, overall: 256 * 1024 * 1024 } as const;

/** Bodies on their way. One that many are sent is held once. */
class Held {
  bytes = 0;
  readonly #readers = new Map<Buffer, number>();

  add(body: Buffer) {
    const readers = this.#readers.get(body) ?? 0;
    if (readers === 0) this.bytes += body.length;
    this.#readers.set(body, readers + 1);
  }

  remove(body: Buffer) {
    const left = (this.#readers.get(body) ?? 0) - 1;
    if (left > 0) return void this.#readers.set(body, left);
    this.#readers.delete(body);
    this.bytes -= body.length;
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
   * Counts a body until it has been sent or its reader has gone.
   * @throws {RegistryError} rate_limited when this token has left as much unread as it may, overloaded when all together have.
   */
  hold(body: Buffer, token: string, response: ServerResponse): Buffer {
    if (body.length < COUNTED_FROM || response.destroyed) return body;
    const { perToken, overall } = UNREAD_BYTES;
    const mine = this.#byToken.get(token) ?? new Held();
    if (mine.bytes >= perToken) throw new RegistryError('rate_limited', `this token has ${perToken / 1024 / 1024} MiB of answers that it has not read, which is as much as it may have: read them first`);
    if (this.#all.bytes >= overall) throw new RegistryError('overloaded', `${overall / 1024 / 1024} MiB of answers have not been read by their callers: try again`);
    this.#byToken.set(token, mine);
    for (const held of [mine, this.#all]) held.add(body);
    response.once('close', () => {
      for (const held of [mine, this.#all]) held.remove(body);
      if (mine.bytes === 0) this.#byToken.delete(token);
    });
    return body;
  }
}
