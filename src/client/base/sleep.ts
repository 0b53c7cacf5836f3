/** Rejects with the signal's reason when that aborts. */
export function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  if (signal?.aborted) return Promise.reject(signal.reason);
  if (ms <= 0) return Promise.resolve();
  return new Promise((resolve, reject) => {
    const stop = () => {
      clearTimeout(over);
      reject(signal?.reason);
    };
    const over = setTimeout(() => {
      signal?.removeEventListener('abort', stop);
      resolve();
    }, ms);
    signal?.addEventListener('abort', stop, { once: true });
  });
}

/** Once what has come already is heard: a timer that is due comes before it, and Node runs timers of no time with those. A browser has no other. */
export const afterOthers = (act: () => void): void => void (typeof setImmediate === 'function' ? setImmediate(act) : setTimeout(act));
