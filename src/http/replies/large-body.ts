import { Readable } from 'node:stream';
import type { FastifyReply } from 'fastify';
import { TurnShare } from './turn-share.js';

/** Shorter bodies are sent as soon as they are made; one of more than a turn's share in pieces of as much. */
const LARGE_BYTES = 256 * 1024;
/** Bytes handed to sockets in one turn of the event loop, whoever they are for: some milliseconds of copying. */
export const SENT_A_TURN = 2 * 1024 * 1024;
const turns = new TurnShare(SENT_A_TURN);

/** The pieces of a body, cut and joined to pieces of 256 KiB. */
function* cut(pieces: readonly Buffer[]): Generator<Buffer> {
  let [open, size]: [Buffer[], number] = [[], 0];
  for (const piece of pieces) {
    for (let at = 0; at < piece.length; ) {
      const some = piece.subarray(at, at + LARGE_BYTES - size);
      open.push(some);
      at += some.length;
      if ((size += some.length) < LARGE_BYTES) continue;
      yield open.length === 1 ? some : Buffer.concat(open);
      [open, size] = [[], 0];
    }
  }
  if (size > 0) yield Buffer.concat(open);
}

/**
 * A body that is read as its turns come. Written in one, it is copied into the socket at once, and again as much whenever the reader has made
 * room: many large answers, or one that many asked for, would be one long turn.
 */
class LargeBody extends Readable {
  readonly #pieces: Generator<Buffer>;

  constructor(pieces: readonly Buffer[]) {
    super({ highWaterMark: 1 });
    this.#pieces = cut(pieces);
  }

  override _read() {
    turns.run(LARGE_BYTES, () => {
      if (!this.destroyed) this.push(this.#pieces.next().value ?? null);
    });
  }
}

/**
 * Sends JSON: a large body in its turn, in one if a turn may hand over as much, for in pieces it takes a third longer; else as its
 * turns come.
 */
export function sendJson(reply: FastifyReply, pieces: readonly Buffer[]): FastifyReply | Promise<FastifyReply> {
  const size = pieces.reduce((sum, { length }) => sum + length, 0);
  reply.type('application/json; charset=utf-8');
  if (size > SENT_A_TURN) return reply.header('content-length', size).send(new LargeBody(pieces));
  const send = () => reply.send(pieces.length === 1 ? pieces[0] : Buffer.concat(pieces));
  return size <= LARGE_BYTES ? send() : new Promise((resolve) => turns.run(size, () => resolve(send())));
}
