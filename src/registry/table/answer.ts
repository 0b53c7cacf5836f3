import type { DiscoverReply } from '../../contract/index.js';
import { Body, type Part } from './body.js';
import type { Slices } from './slices.js';

/** What is visible under a query, with a tag that is the same wherever the content is: JSON of `{ instances, next? }`. */
export class Answer extends Body {
  constructor(
    /** Weak entity tag of the content. */
    readonly etag: string,
    encode: () => Part[],
    weight?: number,
    slices?: Slices,
  ) {
    super(encode, weight, slices);
  }

  /** The body, read back. */
  read(): DiscoverReply {
    return JSON.parse(this.body.toString()) as DiscoverReply;
  }
}

/** An answer of some version, and when it was made: the bytes of heartbeats grow old. */
export interface KeptAnswer {
  version: number;
  encodedAt: number;
  answer: Answer;
}
