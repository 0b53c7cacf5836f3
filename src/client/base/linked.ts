export interface Linked {
  signal: AbortSignal;
  /** Lets go of the others: to be called when it is no longer needed. */
  over: () => void;
}

/**
 * A signal that aborts with any of these, or after so long. AbortSignal.any would do, but Node 20 may collect what it returns before it has
 * fired, and then a call has no time limit: https://github.com/nodejs/node/issues/54614
 */
export function linked(signals: readonly (AbortSignal | undefined)[], withinMs?: number): Linked {
  const joint = new AbortController();
  const undo: (() => void)[] = [];
  for (const signal of signals) {
    if (!signal) continue;
    if (signal.aborted) joint.abort(signal.reason);
    const pass = () => joint.abort(signal.reason);
    signal.addEventListener('abort', pass, { once: true });
    undo.push(() => signal.removeEventListener('abort', pass));
  }
  if (withinMs !== undefined) {
    const timer = setTimeout(() => joint.abort(new DOMException(`no answer within ${Math.round(withinMs)} ms`, 'TimeoutError')), withinMs);
    undo.push(() => clearTimeout(timer));
  }
  return { signal: joint.signal, over: () => undo.forEach((one) => one()) };
}
