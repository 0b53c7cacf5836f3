import type { Instance } from '../../contract/index.js';
import type { Client } from '../verbs/client.js';

interface Report {
  incarnation: string;
  /** Of the registry's clock, and only compared with others of it. */
  lastHeartbeat: string;
  atMs: number;
  ttlMs: number;
}

/** Asked for at once: they are single questions, answered from memory. */
const ASKED_AT_ONCE = 20;
const GRACE_MS = 1000;

/**
 * Whom the caller could not reach. They come back with a sign of life: a heartbeat since, or another process under the id. So a
 * dead one is not tried again and again until its lease ends, and one that only stumbled is back within an interval.
 */
export class Ejected {
  readonly #reports = new Map<string, Report>();

  constructor(
    private readonly client: Client,
    private readonly instances: () => ReadonlyMap<string, Instance>,
  ) {}

  add({ instanceId, incarnation, lastHeartbeat, ttlSeconds }: Instance) {
    const known = this.instances().get(instanceId);
    if (known?.incarnation !== incarnation) return; // that one has gone already
    const last = known.lastHeartbeat > lastHeartbeat ? known.lastHeartbeat : lastHeartbeat;
    this.#reports.set(instanceId, { incarnation, lastHeartbeat: last, atMs: performance.now(), ttlMs: ttlSeconds * 1000 });
  }

  has({ instanceId, incarnation }: Instance): boolean {
    return this.#reports.get(instanceId)?.incarnation === incarnation;
  }

  /** No sign of life for a whole lease since it could not be reached: whatever the list says, its lease is over. */
  isDead({ instanceId, incarnation }: Instance): boolean {
    const report = this.#reports.get(instanceId);
    return report?.incarnation === incarnation && performance.now() - report.atMs > report.ttlMs + GRACE_MS;
  }

  /** Asks for signs of life. While no gateway answers everything stays as it is. */
  async look(signal: AbortSignal): Promise<void> {
    const asked = [...this.#reports].slice(0, ASKED_AT_ONCE);
    await Promise.all(asked.map(([id, report]) => this.#ask(id, report, signal)));
  }

  async #ask(id: string, report: Report, signal: AbortSignal) {
    this.#reports.delete(id);
    this.#reports.set(id, report); // the others have their turn next
    try {
      const found = await this.client.get(id);
      if (signal.aborted || this.#reports.get(id) !== report) return;
      const { lastHeartbeat, incarnation } = found ?? {};
      if (found && lastHeartbeat === report.lastHeartbeat && incarnation === report.incarnation) return;
      if (!found && this.instances().has(id)) return; // its departure is about to be told
      this.#reports.delete(id);
    } catch {
      // nobody answers: no sign of life either
    }
  }
}
