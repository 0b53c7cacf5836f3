import { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import { RegistryError } from '../../registry/errors.js';

/** Pieces of bodies that are taken in one turn of the event loop, from all callers together, before those who send many are refused: some 5 ms. */
export const PIECES_A_TURN = 1000;
/** Nobody is refused for so many of one body in one turn: the request itself costs as much. */
export const FREE_A_TURN = 16;
/** So many pieces of one body may be as small as they like; beyond, they must hold 64 bytes on average. */
const FREE_PIECES = 1000;
const SMALL_BYTES = 64;

const turn = { number: 0, pieces: 0, open: false };

function countPiece(): number {
  if (!turn.open) {
    Object.assign(turn, { number: turn.number + 1, pieces: 0, open: true });
    setImmediate(() => (turn.open = false));
  }
  return ++turn.pieces;
}

/**
 * Has the parser of a connection read no more. What it was given already, up to 64 KiB, it runs through without a call for each piece: a
 * callback that is no function is left out, and a pause alone is looked at behind it only. Where Node's own names change, the pause is left.
 */
function stopParser(socket: Socket) {
  const { parser } = socket as Socket & { parser?: (Record<string, { name?: string } | null> & { pause: () => void }) | null };
  if (!parser) return;
  const onBody = Object.keys(parser).find((key) => parser[key]?.name === 'parserOnBody');
  if (onBody !== undefined) {
    const own = parser[onBody] as { name?: string };
    parser[onBody] = null;
    socket.prependOnceListener('close', () => (parser[onBody] = own)); // before Node gives the parser to another connection
  }
  parser.pause();
}

/**
 * A request whose body may not come in too many pieces. One read of a socket holds 11,000 chunks of one byte, Node's parser makes an
 * object of each before anybody can look at the first, and the sockets of one caller are all read in one turn.
 */
export class BoundedMessage extends IncomingMessage {
  /** Why no more of the body is taken. Event `refused` when that is decided. */
  refusal: RegistryError | undefined;
  #pieces = 0;
  #bytes = 0;
  #turn = 0;
  #inTurn = 0;

  /** Called by the parser for each piece, and with null at the end. */
  override push(piece: Buffer | null, encoding?: BufferEncoding): boolean {
    if (piece === null) return super.push(null);
    const all = countPiece();
    if (this.#turn !== turn.number) [this.#turn, this.#inTurn] = [turn.number, 0];
    this.#bytes += piece.length;
    if (++this.#pieces > FREE_PIECES && this.#bytes < this.#pieces * SMALL_BYTES) {
      return this.#refuse(new RegistryError('invalid_request', 'the body comes in chunks of a few bytes: send it in larger ones'));
    }
    if (++this.#inTurn > FREE_A_TURN && all > PIECES_A_TURN) {
      return this.#refuse(new RegistryError('overloaded', 'this replica is sent more small chunks of bodies than it can read: send larger ones, or try again'));
    }
    return super.push(piece, encoding);
  }

  /** Of one that has come whole nothing is cut off. Node reads the stack of each error that it is given, and thousands of watchers may leave at once. */
  override destroy(error?: Error): this {
    return super.destroy(this.complete ? undefined : error);
  }

  #refuse(refusal: RegistryError): boolean {
    if (this.refusal) return false;
    this.refusal = refusal;
    stopParser(this.socket);
    this.emit('refused', refusal);
    return false;
  }
}
