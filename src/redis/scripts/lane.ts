import { RegistryError } from '../../registry/errors.js';

/** Work on the wire at the same time, in ids: four calls of the largest. With less Redis would wait for this process between them. */
const AT_ONCE = 1000;
/** Each call keeps Redis for less than this. Where none comes back for so long it is the wire that takes its time, and one more goes out. */
const SILENCE_MS = 10;
/** Who has waited for so long is refused: as long as a command may take. */
const WAIT_MS = 1000;

interface Call<T> {
  /** In ids. */
  work: number;
  send: () => Promise<T>;
}

/** Calls that belong together. */
interface Batch {
  failed: boolean;
}

interface Job extends Call<void> {
  batch: Batch;
  sinceMs: number;
  refuse: (error: Error) => void;
}

/**
 * The way of batches to Redis: a few calls at a time, in the order they came in. So whatever one caller sends at once, the heartbeat of
 * another is behind some 20 ms of it. A batch that may go out at once does so before this returns.
 */
export class Lane {
  readonly #queue: Job[] = [];
  #onTheWire = 0;
  #timer: NodeJS.Timeout | undefined;

  /**
   * The replies of one batch. When a call fails, or has waited too long, those behind it are not sent: what is answered 503 must not
   * happen seconds later.
   * @throws {RegistryError} overloaded after a second in which its turn did not come.
   */
  all<T>(calls: Call<T>[]): Promise<T[]> {
    const batch: Batch = { failed: false };
    const replies = calls.map(
      (call) =>
        new Promise<T>((resolve, reject) => {
          const send = () => call.send().then(resolve, (error: Error) => refuse(error));
          const refuse = (error: Error) => {
            batch.failed = true;
            reject(error);
          };
          this.#queue.push({ batch, sinceMs: performance.now(), work: call.work, send, refuse });
        }),
    );
    this.#pump();
    return Promise.all(replies);
  }

  #pump() {
    this.#dropOverdue();
    for (let next = this.#queue[0]; next && this.#onTheWire + next.work <= AT_ONCE; next = this.#queue[0]) this.#sendNext();
    clearTimeout(this.#timer);
    this.#timer = this.#queue.length > 0 ? setTimeout(() => this.#afterSilence(), SILENCE_MS) : undefined;
  }

  #afterSilence() {
    this.#dropOverdue();
    this.#sendNext();
    this.#pump();
  }

  #sendNext() {
    const job = this.#queue.shift();
    if (!job) return;
    if (job.batch.failed) return job.refuse(new Error('a call before it failed')); // its batch is answered already
    this.#onTheWire += job.work;
    void job.send().finally(() => {
      this.#onTheWire -= job.work;
      this.#pump();
    });
  }

  #dropOverdue() {
    const latest = performance.now() - WAIT_MS;
    for (let job = this.#queue[0]; job && job.sinceMs < latest; job = this.#queue[0]) {
      this.#queue.shift();
      job.refuse(new RegistryError('overloaded', 'more batches are under way in this replica than Redis takes: try again'));
    }
  }
}
