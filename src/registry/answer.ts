import type { DiscoverReply } from '../contract/index.js';
import type { Sliced, Slices } from './slices.js';

/** Makes some of a body, when it comes to it, of what was there when it was given. */
export type Part = () => Buffer;

/** Shorter bodies are made at once: that takes as long as the rest of a request. */
const SHORT_BYTES = 16 * 1024;
/** Bodies up to here are one piece; joining longer ones would take as long as making a slice. */
const ONE_PIECE_BYTES = 256 * 1024;
/** Making so many bytes takes as long as looking at one instance. */
const BYTES_A_LOOK = 128;

/** Makes the parts of a body, a slice at a time. */
class Writing implements Sliced {
  readonly pieces: Buffer[] = [];
  size = 0;
  #at = 0;

  constructor(private readonly parts: readonly Part[]) {}

  get done() {
    return this.#at === this.parts.length;
  }

  step(budget: number): number {
    const before = this.size;
    let looked = 0;
    for (; looked < budget && !this.done; looked = 1 + (this.size - before) / BYTES_A_LOOK) {
      const piece = (this.parts[this.#at++] as Part)();
      this.pieces.push(piece);
      this.size += piece.length;
    }
    return looked;
  }
}

/** What is visible under a query, with a tag that is the same wherever the content is. */
export class Answer {
  #pieces: Buffer[] | undefined;
  #encode: (() => Part[]) | undefined;
  #writing: { work: Writing; written: Promise<Buffer[]> } | undefined;
  #size: number;

  constructor(
    /** Weak entity tag of the content. */
    readonly etag: string,
    encode: () => Part[],
    /** About how long the body is: what an answer whose body nobody has asked for holds instead. */
    weight = 0,
    /** Whose turns making a long body shares; without, it is made at once. */
    private readonly slices?: Slices,
  ) {
    this.#encode = encode;
    this.#size = weight;
  }

  /**
   * JSON of `{ instances, next? }` in pieces, made when it is first asked for: whoever only compares tags does not pay for it. To be
   * asked for in the turn in which the answer was given.
   */
  write(): Buffer[] | Promise<Buffer[]> {
    if (this.#pieces) return this.#pieces;
    if (this.#writing) return this.#writing.written;
    const work = this.#begin();
    const rest = this.slices && this.#size > SHORT_BYTES ? this.slices.run(work) : void work.step(Infinity);
    if (!rest) return this.#finish(work);
    const written = rest.then(() => this.#finish(work));
    this.#writing = { work, written };
    return written;
  }

  /** The body in one, at once. */
  get body(): Buffer {
    const work = this.#pieces ? undefined : (this.#writing?.work ?? this.#begin());
    work?.step(Infinity);
    return Buffer.concat(work ? this.#finish(work) : (this.#pieces as Buffer[]));
  }

  /** The body, read back. */
  read(): DiscoverReply {
    return JSON.parse(this.body.toString()) as DiscoverReply;
  }

  get size(): number {
    return this.#size;
  }

  #begin(): Writing {
    const work = new Writing((this.#encode as () => Part[])());
    this.#encode = undefined; // and with it the page
    return work;
  }

  #finish({ pieces, size }: Writing): Buffer[] {
    this.#pieces ??= size > ONE_PIECE_BYTES ? pieces : [Buffer.concat(pieces)];
    this.#writing = undefined;
    this.#size = size;
    return this.#pieces;
  }
}

/** An answer of some version, and when it was made: the bytes of heartbeats grow old. */
export interface KeptAnswer {
  version: number;
  encodedAt: number;
  answer: Answer;
}
