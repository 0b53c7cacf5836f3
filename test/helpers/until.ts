import { setTimeout as sleep } from 'node:timers/promises';

/** Waits until `read` gives something other than undefined, null or false, and returns it. Fails with the last error. */
export async function until<T>(read: () => Promise<T> | T, withinMs = 10_000, everyMs = 20): Promise<NonNullable<T>> {
  const deadline = performance.now() + withinMs;
  for (;;) {
    let failure = new Error(`not so within ${withinMs} ms: ${read.toString()}`);
    try {
      const value = await read();
      if (value !== undefined && value !== null && value !== false) return value;
    } catch (error) {
      if (error instanceof Error) failure = error;
    }
    if (performance.now() > deadline) throw failure;
    await sleep(everyMs);
  }
}
