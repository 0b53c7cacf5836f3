import type { IncomingMessage } from 'node:http';
import { errorCodes } from 'fastify';
import { RegistryError } from '../../registry/errors.js';
import type { BoundedMessage } from './incoming.js';

/** Room for all bodies under way in this process: some 60 of the largest. */
const MOST_BYTES = 64 * 1024 * 1024;
const FIRST_BYTES = 4096;

type Done = (error: Error | null, body?: Buffer) => void;

/**
 * Reads bodies, each into one buffer that grows as bytes come: a chunk that were kept would keep the 64 KiB of the socket that it was read
 * into, so a body of one-byte chunks took 60 times its size.
 */
export class BodyReader {
  #held = 0;

  constructor(private readonly most = MOST_BYTES) {}

  /** Bytes taken up by bodies that are not whole yet. */
  get held() {
    return this.#held;
  }

  /** Gives the whole body, or why there is none: too large, in too many pieces, not as long as declared, broken off, or no room for it now. */
  read(request: IncomingMessage, limit: number, done: Done) {
    const header = request.headers['content-length'];
    const declared = header === undefined ? undefined : Number(header);
    const { refusal } = request as BoundedMessage;
    if (refusal) return done(refusal);
    if (declared !== undefined && declared > limit) return done(new errorCodes.FST_ERR_CTP_BODY_TOO_LARGE());
    let bytes = Buffer.alloc(0);
    let length = 0;

    const finish: Done = (error, body) => {
      request.off('data', onData).off('end', onEnd).off('error', onBroken).off('close', onBroken).off('refused', finish);
      this.#held -= bytes.length;
      done(error, body);
    };
    const onData = (chunk: Buffer) => {
      const needed = length + chunk.length;
      if (needed > limit) return finish(new errorCodes.FST_ERR_CTP_BODY_TOO_LARGE());
      if (needed > bytes.length) {
        const larger = Math.min(Math.max(needed, 2 * bytes.length, FIRST_BYTES), Math.max(needed, declared ?? limit));
        if (this.#held - bytes.length + larger > this.most) {
          return finish(new RegistryError('overloaded', 'this replica is reading as many bodies as it has room for: try again'));
        }
        this.#held += larger - bytes.length;
        const grown = Buffer.allocUnsafe(larger);
        bytes.copy(grown, 0, 0, length);
        bytes = grown;
      }
      chunk.copy(bytes, length);
      length = needed;
    };
    const onEnd = () => {
      if (declared === undefined || declared === length) finish(null, bytes.subarray(0, length));
      else finish(new errorCodes.FST_ERR_CTP_INVALID_CONTENT_LENGTH());
    };
    const onBroken = () => finish(new RegistryError('invalid_request', 'the body broke off'));
    request.on('data', onData).on('end', onEnd).on('error', onBroken).on('close', onBroken).on('refused', finish);
  }
}
