import type { Sliced, Slices } from './slices.js';

/** Makes some of a body, when it comes to it, of what was there when it was given. */
export type Part = () => Buffer;

/** Shorter bodies are made at once: that takes as long as the rest of a request. */
const SHORT_BYTES = 16 * 1024;
/** Bodies up to here are one piece, as they are sent; joining longer ones would take as long as making a slice. */
const ONE_PIECE_BYTES = 2 * 1024 * 1024;
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

/** `head`, items with commas between them, `tail`; so many items a part. */
export function listParts<T>(head: string, items: readonly T[], jsonOf: (item: T) => string, tail: string, together = 64): Part[] {
  const parts: Part[] = [];
  for (let from = 0; from < items.length; from += together) {
    parts.push(() => Buffer.from(`${from === 0 ? head : ','}${items.slice(from, from + together).map(jsonOf).join(',')}`));
  }
  return [...parts, () => Buffer.from(items.length === 0 ? head + tail : tail)];
}

/** A body that is made when it is asked for: a long one in slices. */
export class Body {
  #pieces: Buffer[] | undefined;
  #encode: (() => Part[]) | undefined;
  #writing: { work: Writing; written: Promise<Buffer[]> } | undefined;
  #size: number;

  constructor(
    encode: () => Part[],
    /** About how long the body is: what one that nobody has asked for holds instead. */
    weight = 0,
    /** Whose turns making a long body shares; without, it is made at once. */
    private readonly slices?: Slices,
  ) {
    this.#encode = encode;
    this.#size = weight;
  }

  /**
   * In pieces, made when it is first asked for: whoever only compares tags does not pay for it. To be asked for in the turn in which
   * it was given: it says what stands then.
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
