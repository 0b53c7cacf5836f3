import { changeJson, departureByMoveJson } from '../registry/log/change.js';
import type { WatchMessage } from '../registry/registry.js';
import { revisionOf } from '../registry/revision.js';
import { performanceJson, snapshotJson } from '../registry/watch/frame-data.js';
import type { Frames, Sink } from '../registry/watch/frames.js';

const NOTHING = Buffer.alloc(0);
const line = (event: string, data: string, id?: string) => Buffer.from(`${JSON.stringify({ ...(id !== undefined && { id }), event }).slice(0, -1)},"data":${data}}\n`);

/** What watchers in this process are told: each message as JSON in one line. The same as the server-sent events of the HTTP API say. */
export const messageFrames: Frames = {
  opening: () => NOTHING,
  farewell: () => NOTHING,
  keepAlive: NOTHING,
  snapshot: (members, revision, last) => line('snapshot', snapshotJson(members, revision, last), last ? revision : undefined),
  change: (change) => line(change.kind ?? '', changeJson(change), revisionOf(change)),
  moved: (change, may) => line('removed', departureByMoveJson(change, may), revisionOf(change)),
  bookmark: (revision) => line('bookmark', JSON.stringify({ revision }), revision),
  reset: (reason) => line('reset', JSON.stringify({ reason })),
  performance: (members) => line('performance', performanceJson(members)),
};

/** More than these are not kept for who does not pull: then it takes no more until it has. */
const ENOUGH = 1000;

/** A watch in this process, for whoever pulls. */
export class Messages implements AsyncIterable<WatchMessage> {
  #waiting: WatchMessage[] = [];
  #ended = false;
  #wake: () => void = () => undefined;
  #drained: () => void = () => undefined;
  readonly sink: Sink;

  constructor(signal: AbortSignal) {
    const isOver = () => signal.aborted || this.#ended;
    this.sink = {
      write: (bytes) => this.#push(bytes.toString()),
      onDrain: (resume) => (this.#drained = resume),
      get closed() {
        return isOver();
      },
      allowed: true,
      onClose: (gone) => signal.addEventListener('abort', gone, { once: true }),
      end: (bytes) => (this.#push(bytes.toString()), this.#end()),
      destroy: () => this.#end(),
    };
    signal.addEventListener('abort', () => this.#end(), { once: true });
  }

  /** Whole lines: a watcher writes frames, one or several. */
  #push(text: string): boolean {
    for (const one of text.split('\n')) if (one !== '') this.#waiting.push(JSON.parse(one) as WatchMessage);
    this.#wake();
    return this.#waiting.length < ENOUGH;
  }

  #end() {
    this.#ended = true;
    this.#wake();
    this.#drained();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<WatchMessage> {
    for (;;) {
      const ready = this.#waiting;
      this.#waiting = [];
      yield* ready;
      if (this.#waiting.length === 0 && this.#ended) return;
      if (this.#waiting.length === 0) this.#drained();
      if (this.#waiting.length === 0 && !this.#ended) await new Promise<void>((wake) => (this.#wake = wake));
    }
  }
}
