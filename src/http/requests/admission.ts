import type { RequestListener, Server } from 'node:http';

/** So many requests begin without a look at the clock: a turn of the event loop seldom has more. */
const FREE = 32;
/** For so long a turn begins further ones. */
const BEGIN_FOR_MS = 10;

/**
 * When requests begin. The kernel hands over at once what thousands of connections have sent meanwhile, and Node calls for each of them before
 * anything else has its turn: so a turn begins some, and the others begin in the next ones, in the order in which they came.
 */
export class Admission {
  readonly #queue: { begin: () => void; cameMs: number }[] = [];
  #begun = 0;
  #untilMs = 0;
  #scheduled = false;
  #lateMs = 0;

  /** For how long, in ms, the latest request has waited for its turn; 0 when none waits. */
  get lateMs() {
    return this.#lateMs;
  }

  /** The handler of a server whose requests begin as their turns come. */
  before(handle: RequestListener): RequestListener {
    return (request, response) => {
      if (this.#queue.length === 0 && this.#hasTime()) return handle(request, response);
      this.#queue.push({ begin: () => handle(request, response), cameMs: performance.now() });
      this.#schedule();
    };
  }

  #hasTime(): boolean {
    if (++this.#begun <= FREE) return true;
    const now = performance.now();
    if (this.#begun === FREE + 1) {
      this.#untilMs = now + BEGIN_FOR_MS;
      this.#schedule();
    }
    return now < this.#untilMs;
  }

  #schedule() {
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => this.#turn());
  }

  #turn() {
    this.#scheduled = false;
    this.#begun = 0;
    const untilMs = performance.now() + BEGIN_FOR_MS;
    for (let now = performance.now(); now < untilMs; now = performance.now()) {
      const next = this.#queue.shift();
      if (!next) break;
      this.#lateMs = now - next.cameMs;
      next.begin();
    }
    if (this.#queue.length > 0) this.#schedule();
    else this.#lateMs = 0;
  }
}

/** Puts the admission before whatever a server does with requests. Fastify's `serverFactory` is not it: it leaves a server that never listened open. */
export function installAdmission(server: Server): Admission {
  const admission = new Admission();
  for (const handle of server.listeners('request') as RequestListener[]) server.off('request', handle).on('request', admission.before(handle));
  return admission;
}
