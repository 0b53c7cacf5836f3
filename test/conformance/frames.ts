import type { WatchMessage } from '../../src/registry/registry.js';
import { FrameParser } from '../helpers/sse.js';

/** A stream of server-sent events as messages, for whoever pulls: `push` bytes, then `end`. */
export class Messages implements AsyncIterable<WatchMessage> {
  readonly #waiting: WatchMessage[] = [];
  #wake: () => void = () => undefined;
  #ended = false;
  readonly #parser = new FrameParser((frame) => {
    this.#waiting.push({ ...(frame.id !== undefined && { id: frame.id }), event: frame.event, data: frame.json() } as WatchMessage);
    this.#wake();
  });

  push(text: string) {
    this.#parser.push(text);
  }

  end() {
    this.#ended = true;
    this.#wake();
  }

  async *[Symbol.asyncIterator]() {
    for (;;) {
      for (let next = this.#waiting.shift(); next; next = this.#waiting.shift()) yield next;
      if (this.#ended) return;
      await new Promise<void>((wake) => (this.#wake = wake));
    }
  }
}
