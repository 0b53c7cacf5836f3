import type { Instance } from '../../contract/index.js';
import type { Change } from '../log/change.js';
import { compareIds, msOfId, parseRevision, type Position } from '../revision.js';

/** What a write makes of an instance; undefined: it is gone. */
export type Effect = (before: Instance | undefined) => Instance | undefined;

/** Instances with writes that are not read yet. More than a view that does not read can be asked to keep: the oldest are let go. */
const MAX_PENDING = 100_000;

interface Write {
  /** Its entry in the log. */
  at: Position;
  /** When it was acknowledged, on this process's monotonic clock. */
  since: number;
  effect: Effect;
}

/** Those of one instance, and what they make of nobody, once that was asked for: each is applied once, however often. */
interface Writes {
  list: Write[];
  made: { instance: Instance | undefined } | undefined;
}

/** All that is pending on one instance, and the id of the latest entry of it. */
export interface PendingWrite {
  instanceId: string;
  at: string;
  effect: Effect;
}

/**
 * Writes that were acknowledged and that the view has not read yet. Until it has, nobody but this replica may know of them, and
 * a store that loses them must be told again.
 */
export class Pending {
  readonly #writes = new Map<string, Writes>();

  /** `readUpTo` is the id up to which the view has read already; '' before its first load. */
  add(instanceId: string, revision: string, readUpTo: string, effect: Effect) {
    const at = parseRevision(revision);
    if (!at?.id || compareIds(at.id, readUpTo) <= 0) return;
    const write = { at, since: performance.now(), effect };
    const writes = this.#writes.get(instanceId);
    if (!writes) this.#writes.set(instanceId, { list: [write], made: undefined });
    else {
      writes.list.push(write);
      if (writes.made) writes.made = { instance: effect(writes.made.instance) };
    }
    if (this.#writes.size > MAX_PENDING) this.#writes.delete(this.#writes.keys().next().value as string);
  }

  /**
   * The view has read this: it stands for every write on the same instance up to the entry that it is from. What the store says
   * of its own in another epoch stands for all of them: ids of two primaries are not to be compared.
   */
  read({ epoch, id, of, record }: Change) {
    const writes = this.#writes.get(record.instanceId);
    if (!writes) return;
    const stands = ({ at }: Write) => (of === undefined && at.epoch !== epoch ? false : compareIds(at.id, of ?? id) > 0);
    const { list } = writes;
    let over = 0; // from the front only: who patches one instance all the time has thousands, each of which is read once
    while (over < list.length && !stands(list[over] as Write)) over++;
    if (over === list.length) this.#writes.delete(record.instanceId);
    else if (over > 0) this.#writes.set(record.instanceId, { list: list.slice(over), made: undefined });
  }

  /**
   * The view has been read anew, up to this position, with the latest changes before it; `heldBy` tells from which entry what it has
   * of an instance is. A write of another epoch is in there, or nowhere.
   */
  readAll(changes: readonly Change[], { epoch, id }: Position, heldBy: (instanceId: string) => string | undefined) {
    for (const change of changes) this.read(change);
    this.#keep(({ at }, instanceId) => compareIds(heldBy(instanceId) ?? '', at.id) < 0 && (at.epoch !== epoch || compareIds(at.id, id) > 0));
  }

  /** What came before this time of the store's clock is known to others, or to nobody for sure. */
  forgetBefore(ms: number) {
    this.#keep(({ at }) => msOfId(at.id) >= ms);
  }

  #keep(stands: (write: Write, instanceId: string) => boolean) {
    for (const [instanceId, { list }] of this.#writes) {
      const left = list.filter((write) => stands(write, instanceId));
      if (left.length > 0) this.#writes.set(instanceId, { list: left, made: undefined });
      else this.#writes.delete(instanceId);
    }
  }

  get size() {
    return this.#writes.size;
  }

  /** When about the oldest was acknowledged, on this process's monotonic clock; Infinity when there is none. */
  get oldestAt(): number {
    return this.#writes.values().next().value?.list[0]?.since ?? Infinity;
  }

  /** What is pending on this instance. */
  get(instanceId: string): PendingWrite | undefined {
    const writes = this.#writes.get(instanceId);
    return writes && joined(instanceId, writes.list);
  }

  /** What is pending on this instance makes of nobody: an instance when a registration is among it. */
  makes(instanceId: string): Instance | undefined {
    const writes = this.#writes.get(instanceId);
    if (!writes) return undefined;
    writes.made ??= { instance: applied(writes.list, undefined) };
    return writes.made.instance;
  }

  *[Symbol.iterator](): Generator<PendingWrite> {
    for (const [instanceId, { list }] of this.#writes) yield joined(instanceId, list);
  }
}

function joined(instanceId: string, writes: Write[]): PendingWrite {
  const at = writes.map((write) => write.at.id).reduce((one, other) => (compareIds(one, other) > 0 ? one : other));
  return { instanceId, at, effect: (before) => applied(writes, before) };
}

const applied = (writes: readonly Write[], before: Instance | undefined) => writes.reduce((now, { effect }) => effect(now), before);
