import type { DiscoverReply } from '../contract/index.js';

/** What is visible under a query, with a tag that is the same wherever the content is. */
export class Answer {
  #body: Buffer | undefined;
  #encode: (() => Buffer) | undefined;

  constructor(
    /** Weak entity tag of the content. */
    readonly etag: string,
    encode: () => Buffer,
    /** About how long the body is: what an answer whose body nobody has asked for holds instead. */
    readonly weight = 0,
  ) {
    this.#encode = encode;
  }

  /** JSON of `{ instances, next? }`, made when it is first asked for: whoever only compares tags does not pay for it. */
  get body(): Buffer {
    if (!this.#body) {
      this.#body = (this.#encode as () => Buffer)();
      this.#encode = undefined; // and with it the page
    }
    return this.#body;
  }

  /** The body, read back. */
  read(): DiscoverReply {
    return JSON.parse(this.body.toString()) as DiscoverReply;
  }

  get size(): number {
    return this.#body?.length ?? this.weight;
  }
}

/** An answer of some version, and when it was made: the bytes of heartbeats grow old. */
export interface KeptAnswer {
  version: number;
  encodedAt: number;
  answer: Answer;
}
