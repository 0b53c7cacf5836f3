/** 64 bits that stand for some content, as two halves of 32. */
export interface ContentTag {
  readonly hi: number;
  readonly lo: number;
}

export const contentTag = (text: string) => beginningTag(text, text.length, '');

/**
 * The tag of the first `letters` of a text with `last` behind them: to put those together costs as much as the tag. Two multiplicative
 * hashes over the same letters: nobody's secret hangs on it, so it only has to be quick and even.
 */
export function beginningTag(text: string, letters: number, last: string): ContentTag {
  let hi = 0xdeadbeef | 0;
  let lo = 0x41c6ce57 | 0;
  for (let i = 0; i < letters + last.length; i++) {
    const letter = i < letters ? text.charCodeAt(i) : last.charCodeAt(i - letters);
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
