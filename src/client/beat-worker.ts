import { parentPort, workerData } from 'node:worker_threads';
import type { Heartbeat } from '../contract/index.js';
import { createClient } from './index.js';
import { BUSY_AFTER_MS, nowMs, TICK_MS, type FromWorker, type ToWorker, type WorkerOrders } from './session/worker-messages.js';
import { keepAlive } from './verbs/keep-alive.js';

/*
 * The thread that beats for a process whose event loop may be busy: before each heartbeat it asks the main thread what to say, and goes without an
 * answer that takes too long, saying for how long that thread has not come round.
 */
if (!parentPort) throw new Error('this file is started as a thread, by join({ worker: true })');
const main = parentPort;
const { options, instanceId, incarnation, heartbeatIntervalMs, ticks, ...orders } = workerData as WorkerOrders;
const tell = (message: FromWorker) => main.postMessage(message);
const stop = new AbortController();

let asked = 0;
let answer: ((beat: Heartbeat) => void) | undefined;
let nudge = new AbortController();
let isNudged = true; // the first goes out at once: a thread takes some time to start
let { performance } = orders;
/** Whether the heartbeat under way says what the main thread wanted said. */
let heard = true;

function beNudged() {
  isNudged = true;
  nudge.abort();
}

main.on('message', (message: ToWorker) => {
  if (message.kind === 'stop') stop.abort();
  else if (message.kind === 'nudge') beNudged();
  else {
    performance = message.beat.performance;
    if (message.asked === asked && answer) answer(message.beat);
    else beNudged(); // too late for the heartbeat it was for: it is said with the next, at once
  }
});

/** What the main thread says within a moment. */
const fromMain = () =>
  new Promise<Heartbeat | undefined>((resolve) => {
    const timer = setTimeout(() => resolve(undefined), BUSY_AFTER_MS);
    answer = (beat) => {
      clearTimeout(timer);
      resolve(beat);
    };
    tell({ kind: 'ask', asked: ++asked });
  }).finally(() => (answer = undefined));

async function beat(): Promise<Heartbeat> {
  isNudged = false;
  const said = await fromMain();
  heard = said !== undefined;
  if (said) return said;
  const lagMs = Math.round(Math.max(0, nowMs() - Number(Atomics.load(ticks, 0)) - TICK_MS));
  return performance ? { performance: { ...performance, lagMs } } : {};
}

function nudged(): AbortSignal {
  nudge = new AbortController();
  if (isNudged) nudge.abort();
  tell({ kind: 'waiting' });
  return nudge.signal;
}

const log = (level: 'info' | 'warn') => (about: object, message: string) => {
  const { err, ...rest } = about as { err?: unknown };
  tell({ kind: 'log', level, about: { ...rest, ...(err instanceof Error && { err: { name: err.name, message: err.message } }) }, message });
};
const client = createClient({ ...options, log: { info: log('info'), warn: log('warn') } });
const settings = { ...client.settings, heartbeatIntervalMs };
const renewed = (sentAt: number, nextMs: number) => tell({ kind: 'renewed', sentAtMs: nowMs() - (globalThis.performance.now() - sentAt), nextMs, heard });
const end = await keepAlive({ backend: client.backend, settings, instanceId, incarnation, beat, nudged, renewed, signal: stop.signal });
tell({ kind: 'end', end });
await client.close();
main.close();
