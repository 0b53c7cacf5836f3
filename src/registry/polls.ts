import type { Answer } from './answer.js';
import type { Discovery } from './queries.js';

/** Polls answered in one go: each takes about as long as a request. The others' turn comes between. */
const ANSWERED_AT_ONCE = 100;

interface Waiter {
  /** The caller has seen this content already. */
  isKnown: (etag: string) => boolean;
  settle: () => void;
}

/** All who wait for the answer to one query: however many, a change costs one look. */
interface Poll {
  query: Discovery;
  waiters: Set<Waiter>;
}

/** Long polls: callers who wait until the answer to their query is another than the one they know. */
export class Polls {
  readonly #polls = new Map<string, Poll>();
  #waiting = 0;
  #ended = false;

  get waiting() {
    return this.#waiting;
  }

  /** Resolves when the answer changes, after `timeoutMs`, when `signal` is aborted, or when all polls are ended. */
  wait(query: Discovery, isKnown: (etag: string) => boolean, timeoutMs: number, signal: AbortSignal): Promise<void> {
    if (this.#ended || signal.aborted) return Promise.resolve();
    const key = JSON.stringify(query);
    const poll = this.#polls.get(key) ?? { query, waiters: new Set() };
    this.#polls.set(key, poll);
    this.#waiting++;
    return new Promise((resolve) => {
      const settle = () => {
        clearTimeout(timer);
        signal.removeEventListener('abort', settle);
        if (!poll.waiters.delete(waiter)) return;
        this.#waiting--;
        if (poll.waiters.size === 0 && this.#polls.get(key) === poll) this.#polls.delete(key);
        resolve();
      };
      const waiter: Waiter = { isKnown, settle };
      const timer = setTimeout(settle, timeoutMs);
      signal.addEventListener('abort', settle, { once: true });
      poll.waiters.add(waiter);
    });
  }

  /** What is visible in these homes (`<type>:<group>`) has changed; undefined: anything may have. */
  changed(homes: ReadonlySet<string> | undefined, answer: (query: Discovery) => Answer) {
    for (const { query, waiters } of [...this.#polls.values()]) {
      const { type, group } = query;
      if (homes && type !== undefined && group !== undefined && !homes.has(`${type}:${group}`)) continue;
      const { etag } = answer(query);
      release([...waiters].filter(({ isKnown }) => !isKnown(etag)));
    }
  }

  /** Answers everybody, for good: the replica is shutting down. */
  end() {
    this.#ended = true;
    release([...this.#polls.values()].flatMap(({ waiters }) => [...waiters]));
  }
}

function release(waiters: Waiter[]) {
  for (const { settle } of waiters.splice(0, ANSWERED_AT_ONCE)) settle();
  if (waiters.length > 0) setImmediate(release, waiters);
}
