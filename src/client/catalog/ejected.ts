import type { Instance } from '../../contract/index.js';
import type { Client } from '../verbs/client.js';

interface Report {
  incarnation: string;
  /** The last that is known to be from before, by the registry's clock; undefined while none is: a list says nothing of heartbeats. */
  lastHeartbeat: string | undefined;
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
  /** What was taken for a sign of life: for the same again nobody comes back. */
  readonly #signs = new Map<string, Pick<Instance, 'incarnation' | 'lastHeartbeat'>>();

  constructor(
    private readonly client: Client,
    private readonly instances: () => ReadonlyMap<string, Instance>,
  ) {}

  add({ instanceId, incarnation, ttlSeconds }: Instance) {
    if (this.instances().get(instanceId)?.incarnation !== incarnation || this.#reports.get(instanceId)?.incarnation === incarnation) return; // gone, or reported
    const sign = this.#signs.get(instanceId);
    const lastHeartbeat = sign?.incarnation === incarnation ? sign.lastHeartbeat : undefined;
    this.#reports.set(instanceId, { incarnation, lastHeartbeat, atMs: performance.now(), ttlMs: ttlSeconds * 1000 });
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
      if (!found && this.instances().has(id)) return; // its departure is about to be told
      if (found?.incarnation === report.incarnation && (report.lastHeartbeat === undefined || found.lastHeartbeat <= report.lastHeartbeat)) {
        report.lastHeartbeat ??= found.lastHeartbeat;
        return;
      }
      this.#reports.delete(id);
      if (found) this.#signs.set(id, found);
      else this.#signs.delete(id);
    } catch {
      // nobody answers: no sign of life either
    }
  }
}
