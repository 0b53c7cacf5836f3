import type { Settings } from '../base/options.js';
import { keepAlive, type BeatsEnd, type KeepAlive } from '../verbs/keep-alive.js';

export type Beats = KeepAlive & { settings: Settings; incarnation: string };
export type Beating = (beats: Beats) => Promise<BeatsEnd>;

const inWorker: Beating = async (beats) => {
  try {
    const { keepAliveInWorker } = await import('./in-worker.js'); // on demand: a browser has no such threads
    return await keepAliveInWorker(beats);
  } catch (err) {
    beats.settings.log.warn({ err, instanceId: beats.instanceId }, 'no thread for heartbeats: they go on from this one');
    return keepAlive(beats);
  }
};

/** Heartbeats from this thread, or from one of their own. */
export const beatingBy = (worker: boolean): Beating => (worker ? inWorker : keepAlive);
