import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Instance } from '../contract/index.js';
import { isDeparture, type Change } from '../registry/change.js';
import type { Member } from '../registry/group.js';
import type { Hold } from '../registry/hold.js';
import type { Home } from '../registry/home.js';
import type { Pending } from '../registry/pending.js';
import { instanceJson } from '../registry/record.js';
import { compareIds, msOfId, type Position } from '../registry/revision.js';
import type { Ring } from '../registry/ring.js';
import type { Table } from '../registry/table.js';
import type { Loaded, View } from '../registry/view.js';
import { readHolds, type Source } from './load.js';
import { lastKnown } from './continuity.js';
import { findMissing, instanceOf, restore, wordOf, wordOnPending, wordsOfOneCall, type Word } from './restore.js';

/** How long the replicas are given to say how far each had read, before any of them writes. */
const CLAIM_MS = 500;
/** Who had read less than the furthest by more than this keeps silent, and reads what the others write. */
const FRESHEST_WITHIN_MS = 2000;
/** Removals that a replica still among the freshest may not have read. Older ones all of them know. */
const RECENT_MS = FRESHEST_WITHIN_MS + 1000;
/** For so long the watermark waits for the store to have everything again. A full Redis takes nothing for as long as it is full. */
const WATERMARK_WAITS_MS = 10_000;
const RETRY_MS = 250;
/** A write is read some milliseconds after it is acknowledged. One that is not read by then is in no log that is read. */
const UNREAD_MS = 2000;

/** Where the log goes on, and what is known of it up to there. */
interface Found {
  position: Position;
  ring: Ring;
  holds: [Home, Hold][];
}

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
 * Redis says after it, and gives back the rest. docs/design.md, "Recovery", has the reasons. Nothing but the view is ever given
 * back: a table that is still being loaded lacks what was not read yet, and what it lacks would be taken for lost.
 */
export class Recovery {
  /** What is still to be given back, by id. */
  #words = new Map<string, Word>();
  #startedAt = -Infinity;
  /** The grace after which it was looked last whether records had gone. */
  checkedFromMs = 0;
  #failedAt = -Infinity;
  /** As which it claims: the others wait until it has said all that it knew. */
  readonly #name = randomUUID();

  constructor(
    private readonly source: Source,
    private readonly view: View,
  ) {}

  /** The watermark must not move on: the store does not have everything again, and who does not beat there may be alive. */
  get holdsWatermark(): boolean {
    return this.#words.size > 0 && performance.now() - this.#startedAt < WATERMARK_WAITS_MS;
  }

  /** There is something to give back, and it is time to try. */
  get due(): boolean {
    return this.#words.size > 0 && performance.now() - this.#failedAt > RETRY_MS;
  }

  get left(): number {
    return this.#words.size;
  }

  /**
   * After a loss: where to go on reading, and with which ring. `memory` is the latest changes that were read, lost or not. Undefined
   * when this replica knows less than the others, or less than the log: then it has to read everything anew.
   */
  async begin(memory: Ring, lostUnderKnownEpoch: boolean): Promise<Found | undefined> {
    const { table, ring } = this.#known;
    const claim = await this.#claim(table, lostUnderKnownEpoch, memory.at(memory.next - 1)?.id ?? table.position.id);
    if (table.watermarkMs < claim.freshestMs - FRESHEST_WITHIN_MS) {
      this.view.pending.forgetBefore(claim.freshestMs - RECENT_MS); // others have read them, and whether they still stand is theirs to know
      return undefined;
    }
    const common = await lastKnown(this.source, memory, claim);
    if (common === undefined) return undefined;
    const members = [...table.members.values()];
    const [lost, kept] = [members.filter(({ of }) => compareIds(of, common) > 0), members.filter(({ of }) => compareIds(of, common) <= 0)];
    const tail = memory.behind(common);
    const unsaid = [...this.#words.values()]; // of another loss just before
    this.#start([
      ...(await this.#wordsOnMissing(kept)),
      ...lost.map((member) => wordOf(member, 'over')),
      ...unsaid,
      ...wordsOnDepartures(table, tail, common === '' ? claim.freshestMs - RECENT_MS : 0),
      ...wordsOnPending(this.view.pending, table, tail),
    ]);
    return { position: { epoch: claim.epoch, id: common }, ring: ring.upTo(common, claim.epoch), holds: await readHolds(this.source) };
  }

  /** After an outage that broke nothing: records may have gone all the same, so what is missing is given back. */
  async checkAfter(graceFromMs: number) {
    if (graceFromMs === this.checkedFromMs) return;
    this.checkedFromMs = graceFromMs;
    if (this.left === 0) this.#start(await this.#wordsOnMissing([...this.#known.table.members.values()]));
  }

  /**
   * The log has been read to its end, and does not have a write that was acknowledged long ago: it went to a primary that is one
   * no longer, and nobody had read it. Nothing else tells of that.
   */
  checkPending() {
    const { pending } = this.view;
    const now = performance.now();
    if (this.left > 0 || pending.oldestAt > now - UNREAD_MS || this.#startedAt > now - UNREAD_MS) return;
    this.#start(wordsOnPending(pending, this.#known.table, []));
  }

  /** Something was read from the log. What Redis says itself is not spoken against. */
  read({ of, record }: Change) {
    const word = this.#words.get(record.instanceId);
    if (word && (of === undefined || compareIds(of, word.of) >= 0)) this.#words.delete(record.instanceId);
    else if (word) word.mode = word.mode === 'missing' ? 'over' : word.mode; // an older word of another replica stands there
  }

  /** Gives back some of it; what this makes of the log is to be read before the next time. */
  async speak() {
    const words = wordsOfOneCall(this.#words.values());
    this.#failedAt = performance.now();
    const outcome = await restore(this.source, this.#known.table.position, words, this.#name);
    if (outcome === 'done') for (const { instanceId } of words) this.#words.delete(instanceId);
    if (outcome === 'done' || outcome === 'behind') this.#failedAt = -Infinity; // the next read says where it goes on
  }

  /** Nothing is left to be given back: nobody needs to wait for this replica any longer. False: the log has to be read on first. */
  async over(): Promise<boolean> {
    const outcome = await restore(this.source, this.#known.table.position, [], this.#name).catch(() => 'done'); // by itself it is over 10 s later
    return outcome === 'done';
  }

  /** Everything is read anew: what this replica knew is of no use, and nobody needs to wait for it. */
  forget() {
    this.#words.clear();
    this.source.connection.zrem(this.source.keys.speakers, this.#name).catch(() => undefined); // by itself it is over 10 s later
  }

  get #known(): Loaded {
    return this.view.current as Loaded; // asked only by a reader whose table is the view's
  }

  #start(words: Word[]) {
    // The replicas share the work: each begins somewhere else, and leaves out what it reads that others have done.
    const last = [...new Map(words.map((word) => [word.instanceId, word])).values()]; // what is pending goes before what is in the view
    const from = Math.floor(Math.random() * last.length);
    this.#words = new Map([...last.slice(from), ...last.slice(0, from)].map((word) => [word.instanceId, word]));
    this.#startedAt = performance.now();
  }

  async #claim({ position, watermarkMs }: Table, lost: boolean, latest: string): Promise<Claim> {
    for (;;) {
      const claim = decodeClaim(await this.source.scripts.run(this.source.connection, 'claim', [position.epoch, watermarkMs, lost ? '1' : '', latest, this.#name]));
      const waitMs = claim.atMs + CLAIM_MS - claim.nowMs;
      if (waitMs <= 0) return claim;
      await sleep(Math.min(waitMs, CLAIM_MS));
    }
  }

  async #wordsOnMissing(members: Member[]): Promise<Word[]> {
    const missing = await findMissing(this.source, members.map(({ record }) => record.instanceId));
    return members.filter(({ record }) => missing.has(record.instanceId)).map((member) => wordOf(member, 'missing'));
  }
}

function decodeClaim(reply: unknown): Claim {
  const [epoch, atMs, freshestMs, nowMs, from] = reply as [string, string, string, string, string | null];
  return { epoch, atMs: Number(atMs), freshestMs: Number(freshestMs), nowMs: Number(nowMs), from };
}

/** Departures that the log has lost, of those who did not come back. */
function wordsOnDepartures({ members }: Table, tail: Change[], sinceMs: number): Word[] {
  const left = tail.filter((change) => isDeparture(change) && msOfId(change.id) >= sinceMs && !members.has(change.record.instanceId));
  return left.map((change) => ({ instanceId: change.record.instanceId, of: change.of ?? change.id, mode: 'remove', instance: () => departed(change) }));
}

const departed = ({ record }: Change) => JSON.parse(instanceJson(record, record)) as Instance;

/** What this replica acknowledged, and nobody may have read. */
function wordsOnPending(pending: Pending, { members }: Table, tail: Change[]): Word[] {
  return [...pending].flatMap((write) => {
    const member = members.get(write.instanceId);
    const before = member ? instanceOf(member) : undefined;
    const last = before ?? tail.filter(({ record }) => record.instanceId === write.instanceId).map(departed).at(-1);
    return wordOnPending(write, before, last) ?? [];
  });
}
