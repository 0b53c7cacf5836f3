import { monitorEventLoopDelay } from 'node:perf_hooks';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { RegistryError } from '../../registry/errors.js';

/** What is left out when there is too much to do, in this order: a lost heartbeat may cost an instance, a lost read only time. */
export const SHED_ORDER = ['read', 'write', 'heartbeat'] as const;
export type Work = (typeof SHED_ORDER)[number];

/** How late the event loop is, on average, when a kind of work is refused. Far below the time in which leases end. */
const REFUSED_FROM_MS: Record<Work, number> = { read: 250, write: 500, heartbeat: 2500 };
/** From here on heartbeats are asked to come later. */
const BUSY_FROM_MS = 50;
/** Registrations under way in one replica. More only wait, and everybody's heartbeats behind them. */
const REGISTRATIONS_AT_ONCE = 1000;
const SAMPLED_EVERY_MS = 200;

export interface PressureOptions {
  /** How late the event loop was lately, in ms. */
  lagMs: () => number;
  /** The registry is stale, or was a moment ago: everybody comes back at once. */
  settling: () => boolean;
  shed: (work: Work) => void;
}

/** Whether this replica has more to do than it can, and what it then leaves out. */
export class Pressure {
  #registrations = 0;

  constructor(private readonly options: PressureOptions) {}

  refuses(work: Work): boolean {
    const lag = this.options.lagMs();
    const full = work === 'write' && this.#registrations >= REGISTRATIONS_AT_ONCE;
    if (!full && lag < REFUSED_FROM_MS[work]) return false;
    this.options.shed(work);
    return true;
  }

  /** Counts a registration while it is under way. */
  async during<T>(registration: Promise<T>): Promise<T> {
    this.#registrations++;
    try {
      return await registration;
    } finally {
      this.#registrations--;
    }
  }

  /**
   * When the next heartbeat should come: after `intervalMs`. Under load, and while a registry that was away fills again, up to
   * half as much later, by chance, so that those who come at once do not go on doing so; never later than half a lease.
   */
  nextHeartbeatMs(intervalMs: number, ttlMs: number): number {
    if (this.options.lagMs() < BUSY_FROM_MS && !this.options.settling()) return intervalMs;
    const latest = Math.max(intervalMs, Math.min(1.5 * intervalMs, ttlMs / 2));
    return Math.floor(intervalMs + Math.random() * (latest - intervalMs));
  }
}

/** The event loop's mean lateness in a fifth of a second, the lesser of the last two: one long pause is no overload. */
export function watchLag() {
  const delays = monitorEventLoopDelay({ resolution: 10 });
  delays.enable();
  let [lag, before] = [0, 0];
  const timer = setInterval(() => {
    const now = Math.max(0, delays.mean / 1e6 - 10) || 0; // it also counts the 10 ms between two looks
    lag = Math.min(now, before);
    before = now;
    delays.reset();
  }, SAMPLED_EVERY_MS).unref();
  return {
    lagMs: () => lag,
    close: () => {
      clearInterval(timer);
      delays.disable();
    },
  };
}

/** Refuses what there is no time for, before its token is looked at and its body read. Health and metrics always answer. */
export function installShedding(app: FastifyInstance, pressure: Pressure) {
  app.addHook('onRequest', (request, _reply, done) => {
    const work = workOf(request);
    if (work && pressure.refuses(work)) done(new RegistryError('overloaded', `this replica has too much to do for a ${work}: try again`));
    else done();
  });
}

function workOf({ method, routeOptions: { config, url } }: FastifyRequest): Work | undefined {
  if (url === '/openapi.json' || url?.startsWith('/docs')) return 'read'; // megabytes for whoever asks, without a token
  if (!url?.startsWith('/sd/')) return undefined;
  if (config.bucket === 'heartbeat') return 'heartbeat';
  return method === 'GET' || method === 'HEAD' ? 'read' : 'write';
}
