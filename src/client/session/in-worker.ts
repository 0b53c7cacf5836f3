import { Worker } from 'node:worker_threads';
import type { Settings } from '../base/options.js';
import type { BeatsEnd } from '../verbs/keep-alive.js';
import type { Beats } from './beating.js';
import { nowMs, TICK_MS, type FromWorker, type ToWorker, type WorkerOrders } from './worker-messages.js';

/**
 * The same as `keepAlive`, from a thread of its own with a client of its own: a main thread that is busy for longer than a lease stays registered.
 * Rejects when the thread could not start, or died.
 */
export async function keepAliveInWorker({ settings, instanceId, incarnation, beat, nudged, renewed, signal }: Beats): Promise<BeatsEnd> {
  const ticks = new BigInt64Array(new SharedArrayBuffer(8));
  const tick = () => Atomics.store(ticks, 0, BigInt(Math.round(nowMs())));
  tick();
  const { log, heartbeatIntervalMs } = settings;
  const { performance: said } = await beat(); // what it is to repeat until it hears something newer
  if (signal.aborted) return 'stopped'; // it left meanwhile, and nobody would stop the thread
  const orders: WorkerOrders = { options: optionsOf(settings), instanceId, incarnation, heartbeatIntervalMs, ticks, performance: said };
  const worker = new Worker(new URL('../beat-worker.js', import.meta.url), { workerData: orders, name: 'rollcall-heartbeats' });
  const ticking = setInterval(tick, TICK_MS);
  const tell = (message: ToWorker) => worker.postMessage(message);
  const nudge = () => tell({ kind: 'nudge' });
  const waiting = () => {
    const either = nudged?.();
    if (either?.aborted) nudge();
    else either?.addEventListener('abort', nudge, { once: true });
  };
  const stop = () => tell({ kind: 'stop' });
  signal.addEventListener('abort', stop, { once: true });
  try {
    return await new Promise<BeatsEnd>((resolve, reject) => {
      worker.once('error', reject).once('exit', () => reject(new Error('the thread that beats has ended')));
      worker.on('message', (message: FromWorker) => {
        if (message.kind === 'ask') void Promise.resolve(beat()).then((said) => tell({ kind: 'say', asked: message.asked, beat: said }));
        else if (message.kind === 'renewed') renewed?.(performance.now() - (nowMs() - message.sentAtMs), message.nextMs, message.heard);
        else if (message.kind === 'waiting') waiting();
        else if (message.kind === 'log') log[message.level](message.about, message.message);
        else resolve(message.end);
      });
    });
  } finally {
    clearInterval(ticking);
    signal.removeEventListener('abort', stop);
    void worker.terminate();
  }
}

const optionsOf = ({ mode, baseURLs, apiToken, ttlSeconds, timeoutMs, keyPrefix, redisUrl, heartbeatIntervalMs }: Settings): WorkerOrders['options'] => ({
  mode,
  ttlSeconds,
  timeoutMs,
  keyPrefix,
  heartbeatIntervalMs,
  ...(mode === 'http' && { baseURL: baseURLs }),
  ...(apiToken !== undefined && { apiToken }),
  ...(redisUrl !== undefined && { redisUrl }),
});
