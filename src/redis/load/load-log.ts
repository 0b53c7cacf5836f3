import type { Logger } from 'pino';

export type LoadReason = 'start' | 'lag' | 'epoch' | 'outdated' | 'diverged';

/** What is told of the readings of the whole registry: why, for how long, and why one came to nothing. */
export class LoadLog {
  reason: LoadReason = 'start';
  /** Nothing but the log's length is amiss: what the view has is right as far as it goes. */
  trusted = false;
  /** Read from the log since the last reading began. */
  changes = 0;
  #startedAt = 0;
  #over = true;

  constructor(
    private readonly log: Logger,
    private readonly observer: { loaded: (reason: LoadReason) => void },
  ) {}

  begin() {
    this.#startedAt = performance.now();
    this.changes = 0;
    this.#over = false;
  }

  /** It is the view now. */
  end(instances: number) {
    this.#over = true;
    this.observer.loaded(this.reason);
    this.log.info({ reason: this.reason, instances, seconds: secondsSince(this.#startedAt) }, 'registry read');
  }

  /** Everything is read anew. Where the reading under way is lost because the log was cut off before it was read, the operator can mend that. */
  again(reason: LoadReason, proof?: string) {
    const lost = !this.#over && reason === 'lag';
    this.trusted = reason === 'lag' && (this.#over || this.trusted);
    if (lost) this.log.warn({ changes: this.changes, seconds: secondsSince(this.#startedAt) }, 'more was changed while the registry was read than the log keeps: raise EVENTS_MAX');
    else this.log.warn({ reason, proof }, 'the log of changes has a gap or is another: reading the whole registry again');
    this.#over = true;
    this.reason = reason;
  }
}

export const secondsSince = (startedAt: number) => Number(((performance.now() - startedAt) / 1000).toFixed(3));
