import type { Frames, Sink } from './watch-frames.js';

/** A reader that takes nothing for this long is ended. */
export const STUCK_MS = 30_000;
/** Frames of a snapshot or a backlog written in one go. */
const WRITTEN_AT_ONCE = 100;

/** The changes that a watcher is sent, each with a number: its topic. */
export interface Feed {
  readonly frames: Frames;
  /** Number that the next change will have. */
  readonly end: number;
  /** Everything from this number on is still there. */
  holds: (from: number) => boolean;
  /** Everything from this number on, as one piece, and the id of the last; undefined when some of it is gone. */
  since: (from: number) => { bytes: Buffer; last: string } | undefined;
}

/** Why a watcher was ended by us. */
export type EndReason = 'slow' | 'stuck' | 'revoked' | 'shutdown';

/**
 * One watcher. It is sent a prelude (a snapshot, or what it missed), then the topic's changes from its cursor on. What waits
 * for a slow one stands once in the topic's log, however many are slow; a watcher by itself holds only its place.
 */
export class Watcher {
  /** Id of the last change that it was told of, or of the bookmark that said as much; undefined: of an epoch that is over. */
  told: string | undefined;
  #cursor: number;
  #prelude: Iterator<Buffer> | undefined;
  #choked = false;
  #chokedAt = 0;
  #scheduled = false;

  constructor(
    private readonly feed: Feed,
    private readonly sink: Sink,
    private readonly onEnd: (watcher: Watcher, reason: EndReason) => void,
  ) {
    this.#cursor = feed.end;
    sink.onDrain(() => {
      this.#choked = false;
      this.pump();
    });
  }

  /** Starts over: first these frames, which tell everything up to `told`, then what follows. */
  begin(prelude: Iterable<Buffer>, told: string) {
    this.#prelude = prelude[Symbol.iterator]();
    this.#cursor = this.feed.end;
    this.told = told;
    this.pump();
  }

  /** Has been sent everything there is. */
  get current() {
    return !this.#choked && !this.#prelude && this.#cursor === this.feed.end;
  }

  /** Sends what it lacks, as far as it takes it. */
  pump() {
    if (this.sink.closed) return;
    for (let written = 0; this.#prelude && !this.#choked; written++) {
      if (written === WRITTEN_AT_ONCE) return this.#pumpLater();
      const step = this.#prelude.next();
      if (step.done) this.#prelude = undefined;
      else this.#write(step.value);
    }
    if (this.#choked || this.#cursor === this.feed.end) return;
    const missed = this.feed.since(this.#cursor);
    if (!missed) return this.end('slow');
    this.#cursor = this.feed.end;
    this.told = missed.last;
    this.#write(missed.bytes);
  }

  get allowed() {
    return this.sink.allowed;
  }

  /** Sends bytes that may be left out when it is behind. */
  offer(bytes: Buffer): boolean {
    if (!this.current) return false;
    this.#write(bytes);
    return true;
  }

  /** Ends it if it has taken nothing for too long, or is too far behind. */
  check() {
    if (!this.#choked) return;
    if (performance.now() - this.#chokedAt > STUCK_MS) this.end('stuck');
    else if (!this.#prelude && !this.feed.holds(this.#cursor)) this.end('slow');
  }

  end(reason: EndReason) {
    if (reason === 'slow' || reason === 'stuck') this.sink.destroy();
    else this.sink.end(this.feed.frames.farewell());
    this.onEnd(this, reason);
  }

  #write(bytes: Buffer) {
    if (this.sink.write(bytes)) return;
    this.#choked = true;
    this.#chokedAt = performance.now();
  }

  #pumpLater() {
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      this.pump();
    });
  }
}
