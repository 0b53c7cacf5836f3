import type { Change } from '../log/change.js';
import type { Frames } from './frames.js';

const FRAMES_KEPT = 1000;
const BYTES_KEPT = 8 * 1024 * 1024;

/** The frames of the latest changes, made once for all topics. A change lives much longer than anybody asks for its frame. */
export class RecentFrames {
  readonly #frames = new Map<Change, Buffer>();
  #bytes = 0;

  constructor(private readonly frames: Frames) {}

  get size() {
    return this.#frames.size;
  }

  get bytes() {
    return this.#bytes;
  }

  of(change: Change): Buffer {
    const known = this.#frames.get(change);
    if (known) return known;
    const frame = this.frames.change(change);
    this.#frames.set(change, frame);
    this.#bytes += frame.length;
    for (const [oldest, { length }] of this.#frames) {
      if (this.#frames.size <= FRAMES_KEPT && this.#bytes <= BYTES_KEPT) break;
      this.#frames.delete(oldest);
      this.#bytes -= length;
    }
    return frame;
  }
}
