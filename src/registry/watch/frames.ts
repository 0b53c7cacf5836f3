import type { Change } from '../log/change.js';
import type { Member } from '../table/group.js';

/** How what a watcher is told is written down. The hub decides what and when, these know the wire. */
export interface Frames {
  /** The first line of a stream, of which the first frame is the rest. */
  opening: () => Buffer;
  snapshot: (members: Member[], revision: string, last: boolean) => Buffer;
  change: (change: Change) => Buffer;
  /** The instance of this registration left the watched homes for another, which is told only if it `may` be. */
  moved: (change: Change, may: boolean) => Buffer;
  performance: (members: Member[]) => Buffer;
  bookmark: (revision: string) => Buffer;
  reset: (reason: string) => Buffer;
  keepAlive: Buffer;
  /** The last words of a stream that ends on purpose: when to come back. */
  farewell: () => Buffer;
}

/** Where a watcher's frames go. */
export interface Sink {
  /** False: it takes no more for now, `onDrain` tells when it does. */
  write: (bytes: Buffer) => boolean;
  /** The one to call when it takes more again, or is closed. */
  onDrain: (resume: () => void) => void;
  readonly closed: boolean;
  /** Whoever it belongs to may still watch: tokens can be withdrawn while a stream is open. */
  readonly allowed: boolean;
  onClose: (gone: () => void) => void;
  /** Finishes cleanly, after these bytes. */
  end: (bytes: Buffer) => void;
  /** Breaks off: it does not read. */
  destroy: () => void;
}
