/** 64 bits that stand for some content, as two halves of 32. */
export interface ContentTag {
  readonly hi: number;
  readonly lo: number;
}

/** Two multiplicative hashes over the same letters: nobody's secret hangs on it, so it only has to be quick and even. */
export function contentTag(text: string): ContentTag {
  let hi = 0xdeadbeef | 0;
  let lo = 0x41c6ce57 | 0;
  for (let i = 0; i < text.length; i++) {
    const letter = text.charCodeAt(i);
    hi = Math.imul(hi ^ letter, 2654435761);
    lo = Math.imul(lo ^ letter, 1597334677);
  }
  hi = Math.imul(hi ^ (hi >>> 16), 2246822507) ^ Math.imul(lo ^ (lo >>> 13), 3266489909);
  lo = Math.imul(lo ^ (lo >>> 16), 2246822507) ^ Math.imul(hi ^ (hi >>> 13), 3266489909);
  return { hi, lo };
}

/** The tag of a set: a sum, so that it does not depend on order, and a member is added or taken out in one step. */
export class TagSum implements ContentTag {
  #hi = 0;
  #lo = 0;

  get hi() {
    return this.#hi;
  }

  get lo() {
    return this.#lo;
  }

  add({ hi, lo }: ContentTag) {
    this.#hi = (this.#hi + hi) | 0;
    this.#lo = (this.#lo + lo) | 0;
  }

  remove({ hi, lo }: ContentTag) {
    this.#hi = (this.#hi - hi) | 0;
    this.#lo = (this.#lo - lo) | 0;
  }

  /** As a weak entity tag (RFC 9110 section 8.8.3): heartbeats change the bytes and leave the tag. */
  get etag(): string {
    return `W/"${(this.#hi >>> 0).toString(36)}-${(this.#lo >>> 0).toString(36)}"`;
  }
}
