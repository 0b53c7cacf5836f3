import type { Frames, Sink } from './frames.js';

/** A reader that takes nothing for this long is ended. */
export const STUCK_MS = 30_000;

/** Bytes written to one watcher in its turn; with them, a write by itself counts as so many. */
export const PIECE_BYTES = 256 * 1024;
const WRITE_BYTES = 2048;

/** A piece of what a watcher lacks: its bytes, the id of the last change in it, and the number of the one behind it. */
export interface Missed {
  bytes: Buffer;
  last: string;
  next: number;
}

/** The changes that a watcher is sent, each with a number: its topic. */
export interface Feed {
  readonly frames: Frames;
  /** Number that the next change will have. */
  readonly end: number;
  /** Everything from this number on is still there. */
  holds: (from: number) => boolean;
  /** What follows from this number on, as one piece of bounded size; undefined when some of it is gone. */
  since: (from: number) => Missed | undefined;
}

/** Why a watcher was ended by us. */
export type EndReason = 'slow' | 'stuck' | 'revoked' | 'shutdown';

/** How a watcher begins: frames that tell everything up to the change `told`, the number of the next, and what finding them cost. */
export interface Start {
  prelude: Iterable<Buffer>;
  cursor: number;
  told: string;
  cost: number;
}

/**
 * One watcher. It is sent a prelude (a snapshot, or what it missed), then the topic's changes from its cursor on. What waits
 * for a slow one stands once in the topic's log, however many are slow; a watcher by itself holds only its place.
 */
export class Watcher {
  /** Id of the last change that it was told of, or of the bookmark that said as much; undefined: of an epoch that is over. */
  told: string | undefined;
  #start: (() => Start | undefined) | undefined;
  #cursor: number;
  #prelude: Iterator<Buffer> | undefined;
  #choked = false;
  #chokedAt = 0;

  constructor(
    private readonly feed: Feed,
    private readonly sink: Sink,
    private readonly onEnd: (watcher: Watcher, reason: EndReason) => void,
    /** It takes more, or has more to be sent: its turn is to be given to it. */
    private readonly onReady: (watcher: Watcher) => void,
  ) {
    this.#cursor = feed.end;
    sink.onDrain(() => {
      this.#choked = false;
      this.onReady(this);
    });
  }

  /** Starts over when its turn comes: what it is told then is found only then. */
  begin(start: () => Start | undefined) {
    this.#start = start;
    this.#prelude = undefined;
    this.#cursor = this.feed.end;
    this.onReady(this);
  }

  /** Number of the next change that it is to be sent. */
  get cursor() {
    return this.#cursor;
  }

  /** It takes what it is sent. */
  get reading() {
    return !this.#choked && !this.sink.closed;
  }

  /** Has been sent everything there is. */
  get current() {
    return !this.#choked && !this.#start && !this.#prelude && this.#cursor === this.feed.end;
  }

  /** Sends the next piece of what it lacks, if it takes it. Returns the bytes that were written or looked at for it. */
  pump(): number {
    if (this.sink.closed || this.#choked) return 0;
    if (this.#start) return this.#find();
    if (this.#prelude) return this.#writePrelude(this.#prelude);
    if (this.#cursor === this.feed.end) return 0;
    const missed = this.feed.since(this.#cursor);
    if (!missed) return this.end('slow');
    this.#cursor = missed.next;
    this.told = missed.last;
    return this.#write(missed.bytes);
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
    else if (!this.#start && !this.#prelude && !this.feed.holds(this.#cursor)) this.end('slow');
  }

  end(reason: EndReason): number {
    if (reason === 'slow' || reason === 'stuck') this.sink.destroy();
    else this.sink.end(this.feed.frames.farewell());
    this.onEnd(this, reason);
    return 0;
  }

  /** Frames of the prelude, a piece of them. */
  #writePrelude(prelude: Iterator<Buffer>): number {
    let cost = 0;
    while (cost < PIECE_BYTES && !this.#choked) {
      const step = prelude.next();
      if (step.done) {
        this.#prelude = undefined;
        break;
      }
      cost += WRITE_BYTES + this.#write(step.value);
    }
    return cost;
  }

  #find(): number {
    const start = this.#start?.();
    this.#start = undefined;
    if (!start) return this.end('slow');
    this.#prelude = start.prelude[Symbol.iterator]();
    this.#cursor = start.cursor;
    this.told = start.told;
    return start.cost;
  }

  #write(bytes: Buffer): number {
    if (!this.sink.write(bytes)) {
      this.#choked = true;
      this.#chokedAt = performance.now();
    }
    return bytes.length;
  }
}
