import { Queue, Worker, type ConnectionOptions } from 'bullmq';
import type { Logger } from 'pino';
import { watchTicks } from './watch-ticks.js';

/** Short, because a killed worker's tick is run again only after its lock and a check: about 10 s at most. */
const LOCK_MS = 5000;
const STALLED_CHECK_MS = 2500;
const UPSERT_MS = 2000;
const CLOSE_WITHIN_MS = 3000;
const ERROR_LINE_MS = 10_000;
const QUEUE = 'sweep';
const SCHEDULER = 'sweep';

/** One constant: an upsert that leaves these out would let finished jobs pile up for ever. */
const TEMPLATE = { name: 'tick', opts: { removeOnComplete: { count: 100 }, removeOnFail: { count: 50 } } };

export interface JobsOptions {
  /** A connection that waits for Redis as long as it takes; the jobs own and close it. */
  connection: ConnectionOptions & { on: (event: 'ready', listener: () => void) => unknown; disconnect: () => void };
  prefix: string;
  everyMs: number;
  tick: () => Promise<unknown>;
  /** How long ago any replica began a tick; undefined when nobody can tell. */
  tickedAgoMs: () => number | undefined;
  log: Logger;
}

/**
 * Work for one replica at a time: one job per tick over all replicas, one worker in each. BullMQ promises to run a job at
 * least once, not once: what `tick` does must be safe to repeat.
 */
export function startJobs({ connection, prefix, everyMs, tick, tickedAgoMs, log }: JobsOptions) {
  // The same trouble comes from the queue, the worker and the connection, many times a second: now and then a line is enough.
  const onError = throttled((error: Error) => log.warn({ err: error }, 'jobs: trouble with redis'), ERROR_LINE_MS);
  const queue = new Queue(QUEUE, { connection, prefix, skipMetasUpdate: true });
  const worker = new Worker(QUEUE, async () => tick(), {
    connection,
    prefix,
    concurrency: 1,
    lockDuration: LOCK_MS,
    stalledInterval: STALLED_CHECK_MS,
    drainDelay: 2,
  });
  queue.on('error', onError);
  worker.on('error', onError);
  worker.on('failed', (_job, error) => log.warn({ err: error }, 'sweep failed'));

  // A flushed Redis loses the scheduler and says nothing, so it is written again and again; equal writes change nothing.
  const upsert = () => void queue.upsertJobScheduler(SCHEDULER, { every: everyMs }, TEMPLATE).catch(onError);
  const timer = setInterval(upsert, UPSERT_MS);
  connection.on('ready', upsert);
  upsert();

  const deadMan = watchTicks({ everyMs, tick, tickedAgoMs, log });

  return {
    /** Waits for the running tick, but not for a Redis that is away: `close` of a worker has no time-out of its own. */
    async close() {
      clearInterval(timer);
      clearInterval(deadMan);
      const closed = worker.close().then(() => queue.close()).catch(onError);
      const late = Symbol('late');
      const outcome = await Promise.race([closed, delay(CLOSE_WITHIN_MS, late)]);
      if (outcome === late) await Promise.race([worker.close(true).catch(onError), delay(200, late)]);
      connection.disconnect();
    },
  };
}

const delay = <T>(ms: number, value: T) => new Promise<T>((resolve) => setTimeout(resolve, ms, value).unref());

function throttled<T>(listener: (value: T) => void, everyMs: number) {
  let last = -Infinity;
  return (value: T) => {
    if (performance.now() - last < everyMs) return;
    last = performance.now();
    listener(value);
  };
}
