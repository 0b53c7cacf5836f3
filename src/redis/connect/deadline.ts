/** A caller is answered by then. A little more than the time-out of one command (connection.ts), which as a rule is the one to end it. */
const ANSWER_WITHIN_MS = 1200;

/**
 * What Redis answers, or an error in time. In a Cluster ioredis may hold a command back for longer than its own time-out, while it
 * looks for a node; a write that is sent after the deadline is refused there (lua/include/deadline.lua).
 */
export function inTime<T>(answer: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const late = setTimeout(() => reject(new Error(`no answer from Redis within ${ANSWER_WITHIN_MS} ms`)), ANSWER_WITHIN_MS);
    answer.then(resolve, reject).finally(() => clearTimeout(late));
  });
}
