import type { DiscoverReply } from '../contract/index.js';

/** What is visible under a query, with a tag that is the same wherever the content is. */
export class Answer {
  #body: Buffer | undefined;

  constructor(
    /** Weak entity tag of the content. */
    readonly etag: string,
    private readonly encode: () => Buffer,
  ) {}

  /** JSON of `{ instances, next? }`, made when it is first asked for: whoever only compares tags does not pay for it. */
  get body(): Buffer {
    return (this.#body ??= this.encode());
  }

  /** The body, read back. */
  read(): DiscoverReply {
    return JSON.parse(this.body.toString()) as DiscoverReply;
  }

  get size(): number {
    return this.#body?.length ?? 0;
  }
}

/** An answer of some version, and when it was made: the bytes of heartbeats grow old. */
export interface KeptAnswer {
  version: number;
  encodedAt: number;
  answer: Answer;
}
