import { MAX_LIMIT } from '../../contract/index.js';
import type { Answer } from '../table/answer.js';
import { homeKey } from '../home.js';
import type { Discovery } from '../queries.js';
import { CHANGES_NOTED, type News } from '../table/news.js';
import type { LogRecord } from '../log/record.js';
import { asksAbout } from '../table/walk.js';

/** Polls answered in one go: each takes about as long as a request. The others' turn comes between. */
const ANSWERED_AT_ONCE = 100;
/** The answer to a query that has to be walked for is looked at again no sooner than this after the last time. */
const WALKED_EVERY_MS = 100;
/** Polls times changes that are compared one by one in a turn: some 5 ms. Beyond, every such poll is looked at. */
const COMPARED_AT_ONCE = 100_000;

interface Waiter {
  /** The caller has seen this content already. */
  isKnown: (etag: string) => boolean;
  settle: () => void;
}

/** All who wait for the answer to one query: however many, a change costs one look. */
interface Poll {
  query: Discovery;
  /** Undefined: of a whole group, whose tag is at hand. */
  isAbout: ((record: LogRecord) => boolean) | undefined;
  waiters: Set<Waiter>;
  lookedAt: number;
}

type Ask = (query: Discovery) => Answer | Promise<Answer>;

/**
 * Long polls: callers who wait until the answer to their query is another than the one they know. Whether a change concerns a
 * query is decided by the records before and after it; only then is the query's answer looked for.
 */
export class Polls {
  readonly #polls = new Map<string, Poll>();
  /** Those of whole groups by home, and the others. */
  readonly #byHome = new Map<string, Set<Poll>>();
  readonly #walked = new Set<Poll>();
  /** Of the others, those that a change concerned. */
  readonly #due = new Set<Poll>();
  #looking = false;
  #next: NodeJS.Timeout | undefined;
  #waiting = 0;
  #ended = false;

  get waiting() {
    return this.#waiting;
  }

  /** Resolves when the answer changes, after `timeoutMs`, when `signal` is aborted, or when all polls are ended. */
  wait(query: Discovery, isKnown: (etag: string) => boolean, timeoutMs: number, signal: AbortSignal): Promise<void> {
    if (this.#ended || signal.aborted) return Promise.resolve();
    const poll = this.#open(query);
    this.#waiting++;
    return new Promise((resolve) => {
      const settle = () => {
        clearTimeout(timer);
        signal.removeEventListener('abort', settle);
        if (!poll.waiters.delete(waiter)) return;
        this.#waiting--;
        if (poll.waiters.size === 0) this.#close(poll);
        resolve();
      };
      const waiter: Waiter = { isKnown, settle };
      const timer = setTimeout(settle, timeoutMs);
      signal.addEventListener('abort', settle, { once: true });
      poll.waiters.add(waiter);
    });
  }

  /** Undefined: anything may have changed. Looks at once where that costs nothing, and at the others in turn. */
  changed(news: Pick<News, 'homes' | 'records'> | undefined, ask: Ask) {
    for (const poll of this.#ofWholeGroups(news)) void this.#look(poll, ask);
    const records = news?.records ?? [];
    const each = news !== undefined && records.length <= CHANGES_NOTED && records.length * this.#walked.size <= COMPARED_AT_ONCE;
    for (const poll of this.#walked) if (!each || records.some(poll.isAbout as (record: LogRecord) => boolean)) this.#due.add(poll);
    void this.#lookAtDue(ask);
  }

  /** Answers everybody, for good: the replica is shutting down. */
  end() {
    this.#ended = true;
    release([...this.#polls.values()].flatMap(({ waiters }) => [...waiters]));
  }

  #open(query: Discovery): Poll {
    const key = JSON.stringify(query);
    let poll = this.#polls.get(key);
    if (!poll) {
      poll = { query, isAbout: isWholeGroup(query) ? undefined : asksAbout(query), waiters: new Set(), lookedAt: -Infinity };
      this.#polls.set(key, poll);
      if (poll.isAbout) this.#walked.add(poll);
      else this.#byHome.set(keyOf(query), (this.#byHome.get(keyOf(query)) ?? new Set()).add(poll));
    }
    return poll;
  }

  #close(poll: Poll) {
    const key = JSON.stringify(poll.query);
    if (this.#polls.get(key) !== poll) return;
    this.#polls.delete(key);
    this.#walked.delete(poll);
    this.#due.delete(poll);
    const home = keyOf(poll.query);
    const ofHome = this.#byHome.get(home);
    if (ofHome?.delete(poll) && ofHome.size === 0) this.#byHome.delete(home);
  }

  *#ofWholeGroups(news: Pick<News, 'homes' | 'records'> | undefined): Generator<Poll> {
    for (const home of news?.homes ?? [...this.#byHome.keys()]) yield* [...(this.#byHome.get(home) ?? [])];
  }

  /** One after the other, so that their walks do not stand between everybody else's. */
  async #lookAtDue(ask: Ask) {
    if (this.#looking) return;
    this.#looking = true;
    for (const poll of this.#due) {
      if (waitOf(poll) > 0) continue;
      this.#due.delete(poll); // before the look: what changes meanwhile is another reason
      const looked = this.#look(poll, ask);
      if (looked) await looked;
    }
    this.#looking = false;
    if (this.#due.size === 0 || this.#ended) return;
    clearTimeout(this.#next);
    this.#next = setTimeout(() => void this.#lookAtDue(ask), Math.max(1, Math.min(...[...this.#due].map(waitOf)))).unref();
  }

  #look(poll: Poll, ask: Ask): Promise<void> | undefined {
    poll.lookedAt = performance.now();
    const tell = ({ etag }: Answer) => release([...poll.waiters].filter(({ isKnown }) => !isKnown(etag)));
    const again = () => void (poll.waiters.size > 0 && this.#due.add(poll)); // the view cannot answer: it must not sleep through this change
    try {
      const answer = ask(poll.query);
      if (answer instanceof Promise) return answer.then(tell, again);
      tell(answer);
    } catch {
      again();
    }
    return undefined;
  }
}

/** How long a poll that is due has to wait for its turn. */
const waitOf = ({ lookedAt }: Poll) => lookedAt + WALKED_EVERY_MS - performance.now();

const keyOf = ({ type = '', group = '' }: Discovery) => homeKey({ type, group });

/** Its tag is kept with the group. */
export const isWholeGroup = ({ type, group, statuses, labels, after, offline, limit }: Discovery) =>
  type !== undefined && group !== undefined && !offline && statuses === undefined && labels === undefined && after === undefined && limit >= MAX_LIMIT;

function release(waiters: Waiter[]) {
  for (const { settle } of waiters.splice(0, ANSWERED_AT_ONCE)) settle();
  if (waiters.length > 0) setImmediate(release, waiters);
}
