import type { Instance } from '../contract/index.js';
import type { Change } from './change.js';
import { compareIds, parseRevision } from './revision.js';

/** What a write makes of an instance; undefined: it is gone. */
export type Effect = (before: Instance | undefined) => Instance | undefined;

/** Instances with writes that are not read yet. More than a view that does not read can be asked to keep: the oldest are let go. */
const MAX_PENDING = 100_000;

interface Write {
  /** Id of its entry in the log. */
  at: string;
  effect: Effect;
}

/**
 * Writes that were acknowledged and that the view has not read yet. Until it has, nobody but this replica may know of them, and
 * a store that loses them must be told again.
 */
export class Pending {
  readonly #writes = new Map<string, Write[]>();

  /** `readUpTo` is the id up to which the view has read already. */
  add(instanceId: string, revision: string, readUpTo: string, effect: Effect) {
    const at = parseRevision(revision)?.id;
    if (!at || compareIds(at, readUpTo) <= 0) return;
    const writes = this.#writes.get(instanceId);
    if (writes) writes.push({ at, effect });
    else this.#writes.set(instanceId, [{ at, effect }]);
    if (this.#writes.size > MAX_PENDING) this.#writes.delete(this.#writes.keys().next().value as string);
  }

  /** The view has read this: it stands for every write on the same instance up to the entry that it is from. */
  read({ id, of = id, record }: Change) {
    const writes = this.#writes.get(record.instanceId);
    if (!writes) return;
    const left = writes.filter(({ at }) => compareIds(at, of) > 0);
    if (left.length > 0) this.#writes.set(record.instanceId, left);
    else this.#writes.delete(record.instanceId);
  }

  /** The view has been read anew, up to this id. */
  readUpTo(id: string) {
    for (const [instanceId, writes] of this.#writes) {
      if (writes.every(({ at }) => compareIds(at, id) <= 0)) this.#writes.delete(instanceId);
    }
  }

  /** What the writes on an instance that nobody has read yet make of it. */
  of(instanceId: string): Instance | undefined {
    return this.#writes.get(instanceId)?.reduce<Instance | undefined>((now, { effect }) => effect(now), undefined);
  }

  /** Id of the entry of about the oldest write; undefined when there is none. */
  get oldest(): string | undefined {
    return this.#writes.values().next().value?.[0]?.at;
  }

  get size() {
    return this.#writes.size;
  }

  /** Each instance with its latest write, and what all of them make of it. */
  *[Symbol.iterator](): Generator<{ instanceId: string; at: string; effect: Effect }> {
    for (const [instanceId, writes] of this.#writes) {
      const at = writes.map((write) => write.at).reduce((one, other) => (compareIds(one, other) > 0 ? one : other));
      yield { instanceId, at, effect: (before) => writes.reduce((now, { effect }) => effect(now), before) };
    }
  }
}
