import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Change } from '../../registry/log/change.js';
import type { Member } from '../../registry/table/group.js';
import { keptMembers, missingEntries, pendingEntries, planRestore } from '../../registry/recovery/plan.js';
import type { RestoreEntry } from '../../registry/recovery/restore-entry.js';
import { compareIds } from '../../registry/revision.js';
import type { Table } from '../../registry/table/table.js';
import type { Memory, ResumePoint } from '../../registry/view/memory.js';
import type { View } from '../../registry/view/view.js';
import { readHolds } from '../load/load.js';
import { secondsSince } from '../load/load-log.js';
import { lastKnown } from './common-entry.js';
import { findMissing, oneBatch, restore } from './restore.js';
import type { Source } from '../scripts/store.js';

/** How long the replicas are given to say how far each had read, before any of them writes. */
const CLAIM_MS = 500;
/** Who had read less than the furthest by more than this restores nothing, and reads what the others write. */
const FRESHEST_WITHIN_MS = 2000;
/** Removals that a replica still among the freshest may not have read. Older ones all of them know. */
const RECENT_MS = FRESHEST_WITHIN_MS + 1000;
/** For so long the watermark waits for the store to have everything again. A full Redis takes nothing for as long as it is full. */
const WATERMARK_WAITS_MS = 10_000;
const RETRY_MS = 250;
/** Acknowledged writes come back within milliseconds. One that has not after this long was lost with its primary. */
const UNREAD_MS = 2000;

interface Claim {
  epoch: string;
  atMs: number;
  freshestMs: number;
  nowMs: number;
  /** The last entry of the log before the epoch, '' for none; null: founded by a version that did not note it. */
  from: string | null;
}

/**
 * What a replica does when Redis has lost something that it knows: it finds the last entry of the log that both have, keeps what
 * Redis says after it, and restores the rest. docs/design.md, "Recovery", has the reasons; the steps here are in its order. Only what is in
 * the view is ever restored: a table that is still being loaded lacks what was not read yet, and what it lacks would be taken for lost.
 */
export class Recovery {
  /** What is still to be restored, by id. */
  #entries = new Map<string, RestoreEntry>();
  #startedAt = -Infinity;
  #failedAt = -Infinity;
  /** Since when a loss is being mended, on this process's monotonic clock. */
  #since: number | undefined;
  /** The grace after which it was looked last whether records had gone. */
  checkedFromMs = 0;
  /** As which it claims: the others wait until it has restored all that it knew. */
  readonly #name = randomUUID();

  constructor(
    private readonly source: Source,
    private readonly view: View,
    /** Called when the store has everything again, with how long that took. */
    private readonly onOver: (seconds: number) => void,
  ) {}

  /** Nothing is being mended, and nothing is left to be restored. */
  get settled(): boolean {
    return this.#since === undefined && this.#entries.size === 0;
  }

  /** Hold the watermark: Redis still lacks records, so an instance without heartbeats there may be alive. */
  get holdsWatermark(): boolean {
    return this.#entries.size > 0 && performance.now() - this.#startedAt < WATERMARK_WAITS_MS;
  }

  /**
   * After a loss: where to go on reading, and with which ring. Undefined when this replica knows less than the others, or less than
   * the log: then it has to read everything anew.
   */
  async begin(lostUnderKnownEpoch: boolean): Promise<ResumePoint | undefined> {
    const { table, ring, remembered } = this.#known;
    this.#since ??= performance.now();
    const claim = await this.#claim(table, lostUnderKnownEpoch, remembered.at(remembered.next - 1)?.id ?? table.position.id);
    if (table.watermarkMs < claim.freshestMs - FRESHEST_WITHIN_MS) {
      this.view.pending.forgetBefore(claim.freshestMs - RECENT_MS); // others have read them, and whether they still stand is theirs to know
      return undefined;
    }
    const common = await lastKnown(this.source, remembered, claim);
    if (common === undefined) return undefined;
    const missing = await this.#missingOf(keptMembers(table, common));
    const removedSinceMs = common === '' ? claim.freshestMs - RECENT_MS : 0;
    this.#start(planRestore({ table, pending: this.view.pending, common, tail: remembered.behind(common), removedSinceMs, missing, left: this.#entries.values() }));
    return { position: { epoch: claim.epoch, id: common }, ring: ring.upTo(common, claim.epoch), holds: await readHolds(this.source) };
  }

  /** Between reads, at the end of the log: looks what is left to be restored, and sends one batch. True: read the log on at once. */
  async step(graceFromMs: number): Promise<boolean> {
    await this.#checkAfter(graceFromMs);
    this.#checkPending();
    if (this.#entries.size > 0) {
      if (performance.now() - this.#failedAt <= RETRY_MS) return false;
      await this.#sendBatch();
      return true;
    }
    if (this.#since !== undefined && (await this.#over())) {
      const seconds = secondsSince(this.#since);
      this.#since = undefined;
      this.onOver(seconds);
    }
    return false;
  }

  /** A change was read. Drop the restore entry of that instance unless ours is newer. */
  read({ of, record }: Change) {
    const entry = this.#entries.get(record.instanceId);
    if (entry && (of === undefined || compareIds(of, entry.of) >= 0)) this.#entries.delete(record.instanceId);
    else if (entry) entry.mode = entry.mode === 'missing' ? 'over' : entry.mode; // an older entry of another replica stands there
  }

  /** Everything is read anew: what this replica knew is of no use, and nobody needs to wait for it. */
  forget() {
    this.#entries.clear();
    this.#since = undefined;
    this.source.connection.zrem(this.source.keys.speakers, this.#name).catch(() => undefined); // by itself it is over 10 s later
  }

  get #known(): Memory {
    return this.view.current as Memory; // asked only by a reader whose table is the view's
  }

  async #claim({ position, watermarkMs }: Table, lost: boolean, latest: string): Promise<Claim> {
    for (;;) {
      const claim = decodeClaim(await this.source.scripts.run(this.source.connection, 'claim', [position.epoch, watermarkMs, lost ? '1' : '', latest, this.#name]));
      const waitMs = claim.atMs + CLAIM_MS - claim.nowMs;
      if (waitMs <= 0) return claim;
      await sleep(Math.min(waitMs, CLAIM_MS));
    }
  }

  #missingOf(members: Member[]): Promise<Set<string>> {
    return findMissing(this.source, members.map(({ record }) => record.instanceId));
  }

  #start(entries: RestoreEntry[]) {
    // The replicas share the work: each begins somewhere else, and leaves out what it reads that others have done.
    const last = [...new Map(entries.map((entry) => [entry.instanceId, entry])).values()]; // what is pending goes before what is in the view
    const from = Math.floor(Math.random() * last.length);
    this.#entries = new Map([...last.slice(from), ...last.slice(0, from)].map((entry) => [entry.instanceId, entry]));
    this.#startedAt = performance.now();
  }

  /** After an outage that broke nothing: records may have gone all the same, so what is missing is restored. */
  async #checkAfter(graceFromMs: number) {
    if (graceFromMs === this.checkedFromMs) return;
    this.checkedFromMs = graceFromMs;
    if (this.#entries.size > 0) return;
    const members = [...this.#known.table.members.values()];
    this.#start(missingEntries(members, await this.#missingOf(members)));
  }

  /**
   * The log has been read to its end, and does not have a write that was acknowledged long ago: it went to a primary that is one
   * no longer, and no replica had read it. Nothing else tells of that.
   */
  #checkPending() {
    const { pending } = this.view;
    const now = performance.now();
    if (this.#entries.size > 0 || pending.oldestAt > now - UNREAD_MS || this.#startedAt > now - UNREAD_MS) return;
    this.#start(pendingEntries(pending, this.#known.table, []));
  }

  /** Sends one batch. Read the log before sending the next. */
  async #sendBatch() {
    const batch = oneBatch(this.#entries.values());
    this.#failedAt = performance.now();
    const outcome = await restore(this.source, this.#known.table.position, batch, this.#name);
    if (outcome === 'done') for (const { instanceId } of batch) this.#entries.delete(instanceId);
    if (outcome === 'done' || outcome === 'behind') this.#failedAt = -Infinity; // the next read says where it goes on
  }

  /** Nothing is left to be restored: no replica needs to wait for this one any longer. False: the log has to be read on first. */
  async #over(): Promise<boolean> {
    const outcome = await restore(this.source, this.#known.table.position, [], this.#name).catch(() => 'done'); // by itself it is over 10 s later
    return outcome === 'done';
  }
}

function decodeClaim(reply: unknown): Claim {
  const [epoch, atMs, freshestMs, nowMs, from] = reply as [string, string, string, string, string | null];
  return { epoch, atMs: Number(atMs), freshestMs: Number(freshestMs), nowMs: Number(nowMs), from };
}
