import type { Instance } from '../../contract/index.js';
import type { Answer } from '../table/answer.js';
import { Answers } from '../table/answers.js';
import type { Change } from '../log/change.js';
import { RegistryError } from '../errors.js';
import type { Home } from '../home.js';
import { Pending, type Effect } from '../recovery/pending.js';
import { Polls } from './polls.js';
import { Freshness } from './freshness.js';
import { GroupCounts } from '../table/group-counts.js';
import type { Discovery } from '../queries.js';
import type { Found } from '../registry.js';
import { compareIds, revisionOf, type Position } from '../revision.js';
import type { LogRecord } from '../log/record.js';
import { memberJson } from '../table/group.js';
import type { Ring } from '../log/ring.js';
import type { Memory } from './memory.js';
import { Slices } from '../table/slices.js';
import type { Table } from '../table/table.js';
import { Waits } from './waits.js';
import type { WatchHub } from '../watch/hub.js';

export interface ViewOptions {
  hub: WatchHub;
  /** How long a stale view still answers. */
  maxStaleMs: number;
  /** For so long after everything was lost servers are still coming back: the default lease. */
  comeBackMs?: number;
}

/** An instance as this replica has acknowledged it, or read it. */
export type Known = Instance | LogRecord;

/**
 * What this replica knows of the registry, for everyone who reads: discover, long polls, watchers. The reader of the log feeds it
 * and nobody else. Nothing in here asks the store.
 */
export class View {
  readonly hub: WatchHub;
  readonly polls = new Polls();
  /** Writes of this replica that it has not read yet. */
  readonly pending = new Pending();
  /** Somebody waits for the view to move on: the reader need not wait for its next tick. */
  onWait: () => void = () => undefined;
  readonly #waits = new Waits();
  /** Whose turns all long work on what this view holds shares. */
  readonly slices = new Slices();
  readonly groups = new GroupCounts(() => this.table, this.slices);
  readonly freshness: Freshness;
  readonly #maxStaleMs: number;
  #loaded: { memory: Memory; answers: Answers } | undefined;

  constructor({ hub, maxStaleMs, comeBackMs = 30_000 }: ViewOptions) {
    this.hub = hub;
    this.freshness = new Freshness(comeBackMs);
    this.#maxStaleMs = maxStaleMs;
    hub.start(() => this.current?.table);
  }

  get loaded(): boolean {
    return this.#loaded !== undefined;
  }

  /** What it answers from, however old that is; undefined before the first load. */
  get current(): Memory | undefined {
    return this.#loaded?.memory;
  }

  /** It can answer: loaded, and not stale for too long. */
  get serving(): boolean {
    return this.loaded && this.freshness.ageMs <= this.#maxStaleMs;
  }

  /** @throws {RegistryError} store_unavailable while it cannot answer. */
  get table(): Table {
    return this.#serving().memory.table;
  }

  get ring(): Ring {
    return this.#serving().memory.ring;
  }

  /** `<epoch>.<entry id>` of the last change that answers take into account. @throws {RegistryError} store_unavailable */
  get revision(): string {
    return revisionOf(this.table.position);
  }

  /** How far it has read the log; undefined while it is loading. */
  get position(): Position | undefined {
    return this.current?.table.position;
  }

  /** How old the view is, if that is too old, or if it is known to lack something; undefined while it is fresh. */
  get staleMs(): number | undefined {
    return this.freshness.staleMs;
  }

  /** For how much longer servers that the store has forgotten are coming back; undefined when it has forgotten nobody. */
  get recoveringMs(): number | undefined {
    return this.freshness.recoveringMs;
  }

  get size(): number {
    return this.current?.table.members.size ?? 0;
  }

  /** How many groups are held. */
  get held(): number {
    return this.current?.table.groups.held ?? 0;
  }

  /** At once, however long that takes. */
  answer(query: Discovery): Answer {
    return this.#serving().answers.answer(query, performance.now());
  }

  /**
   * The same, in slices where it takes long: what it says then stands at the moment in which this resolves. Rejects, or throws, with
   * `store_unavailable` while it cannot answer.
   */
  ask(query: Discovery): Answer | Promise<Answer> {
    const { answers } = this.#serving();
    const answer = answers.ask(query, performance.now());
    if (!(answer instanceof Promise)) return answer;
    return answer.then((walked) => (this.#serving().answers === answers ? walked : this.ask(query))); // or another table was loaded meanwhile
  }

  find(id: string): Found | undefined {
    const { members, position } = this.table;
    const member = members.get(id);
    if (!member || member.standing === 'lapsed') return undefined;
    const instance = JSON.parse(memberJson(member)) as Instance;
    return { instance, revision: revisionOf({ epoch: position.epoch, id: member.changedBy }) };
  }

  /**
   * Resolves once everything up to this position has been read and, with `watermarkMs`, everything up to that time of the
   * store's clock. Rejects with `store_unavailable` when that takes longer than `timeoutMs`.
   */
  reached(position: Position, watermarkMs: number, timeoutMs: number): Promise<void> {
    const reached = this.#waits.until(() => this.#has(position, watermarkMs), timeoutMs);
    this.onWait();
    return reached;
  }

  /** The reader has loaded a table: from now on this is the view. */
  adopt(memory: Memory, reason: string) {
    const restarted = this.loaded;
    const { table, ring } = memory;
    this.#loaded = { memory, answers: new Answers(table, this.slices) };
    this.pending.readAll(ring.since(ring.first), table.position, (id) => table.members.get(id)?.of);
    table.news.clear();
    this.#waits.check();
    this.polls.changed(undefined, (query) => this.ask(query));
    if (restarted) this.hub.restart(reason);
  }

  /** The view and the store agree again: watchers are given a position of the new epoch. */
  recovered() {
    this.hub.remindAll();
  }

  /** A write was acknowledged. Until the log has it, this replica alone answers for it. */
  acknowledged(id: string, revision: string, effect: Effect) {
    this.pending.add(id, revision, this.position?.id ?? '', effect);
  }

  /** Where an instance lives as far as this replica knows. */
  homeOf(id: string): Home | undefined {
    return this.current?.table.members.get(id)?.record ?? this.pending.makes(id);
  }

  /** What this replica knows of this instance at this moment, whatever the store says. What it acknowledged is newer than what it read. */
  known(id: string): Known | undefined {
    return this.pending.makes(id) ?? this.current?.table.members.get(id)?.record;
  }

  /** Everything that the store had at this time of this process's monotonic clock is in the view; `whole`: and it had all that any replica knows. */
  refresh(asOf: number, whole: boolean) {
    this.freshness.refresh(asOf, whole, this.loaded);
  }

  /** The end of a read: everybody is told what it brought. */
  settle(changes: readonly Change[]) {
    const { table } = this.current as Memory;
    for (const change of changes) this.pending.read(change);
    this.#waits.check();
    this.hub.publish(changes);
    if (table.news.homes.size === 0 && table.news.records.length === 0) return;
    this.polls.changed(table.news, (query) => this.ask(query));
    table.news.clear();
  }

  /** Ends watchers and long polls: the replica is shutting down. */
  end() {
    this.polls.end();
    this.hub.end();
  }

  #serving() {
    if (!this.#loaded) throw new RegistryError('store_unavailable', 'this replica is still reading the registry: try again');
    if (!this.serving) throw new RegistryError('store_unavailable', 'the registry store has been away for longer than MAX_STALE_SECONDS');
    return this.#loaded;
  }

  #has({ epoch, id }: Position, watermarkMs: number): boolean {
    const table = this.current?.table;
    return table !== undefined && table.position.epoch === epoch && compareIds(table.position.id, id) >= 0 && table.watermarkMs >= watermarkMs;
  }
}
