import type { InstancePatch } from '../../contract/index.js';
import type { Change } from '../log/change.js';
import type { Home } from '../home.js';
import type { Discovery, Freshness, HistoryQuery, Poll, WatchQuery } from '../queries.js';
import type { Beat, Caller, Certainty, CompleteRegistration, Operator, PatchGuard, Registrar, RemoveGuard, Sought } from '../registry.js';
import type { Position } from '../revision.js';
import type { Scope } from '../scope.js';
import type { View } from '../view/view.js';
import type { Sink } from '../watch/frames.js';
import { beginWatch } from '../view/begin-watch.js';
import { SecondOpinion, type Restorer } from './second-opinion.js';
import type { Discovered, History, ListedGroups, ServedRegistry } from './served-registry.js';

/** What the view has not: the store is asked. All reject with `store_unavailable` when it does not answer. */
export interface StoreSide extends Restorer {
  locate: (ids: string[]) => Promise<(Home | undefined)[]>;
  history: (query: HistoryQuery) => Promise<History>;
  /** What a watcher of this query missed, as `LogSource` of registry/view/begin-watch.ts has it. */
  changesAfter: (position: Position, query: WatchQuery) => Promise<{ changes: Change[]; last: string } | undefined>;
}

/** What a replica serves: reads from its view, and writes through a registrar. */
export class ReplicaRegistry implements ServedRegistry {
  readonly #writes: Registrar;

  constructor(
    private readonly view: View,
    private readonly registrar: Registrar & Operator,
    private readonly store: StoreSide,
  ) {
    this.#writes = new SecondOpinion(registrar, view, store);
  }

  register(registration: CompleteRegistration, caller: Caller, from?: Home | null) {
    return this.#writes.register(registration, caller, from);
  }

  heartbeat(beats: Beat[]) {
    return this.#writes.heartbeat(beats);
  }

  patch(id: string, patch: InstancePatch, caller: Caller, guard?: PatchGuard) {
    return this.#writes.patch(id, patch, caller, guard);
  }

  remove(id: string, guard: RemoveGuard, caller: Caller) {
    return this.#writes.remove(id, guard, caller);
  }

  release(home: Home, caller: Caller) {
    return this.registrar.release(home, caller);
  }

  async find(id: string, need: Freshness = {}): Promise<Sought> {
    await this.store.catchUp(need);
    return { found: this.view.find(id), ...this.#certainty };
  }

  async discover(query: Discovery, need: Freshness = {}, poll?: Poll): Promise<Discovered> {
    const { view } = this;
    await this.store.catchUp(need);
    let answer = await view.ask(query);
    if (poll?.isKnown(answer.etag)) {
      await view.polls.wait(query, poll.isKnown, poll.waitMs, poll.signal);
      answer = await view.ask(query);
    }
    return { answer, revision: view.revision, staleMs: view.staleMs, recoveringMs: view.recoveringMs };
  }

  async groups(need: Freshness = {}, scope?: Scope): Promise<ListedGroups> {
    await this.store.catchUp(need);
    return { groups: await this.view.groups.ask(scope), ...this.#certainty };
  }

  watch(query: WatchQuery, from: string | undefined, sink: Sink): Promise<void> {
    const { catchUp, changesAfter } = this.store;
    return beginWatch(this.view, { catchUp: () => catchUp({ strong: true }), changesAfter }, query, from, sink);
  }

  history(query: HistoryQuery): Promise<History> {
    return this.store.history(query);
  }

  async locate(ids: string[]): Promise<(Home | undefined)[]> {
    const homes = await this.store.locate(ids);
    return homes.map((home, i) => home ?? this.view.homeOf(ids[i] as string));
  }

  get #certainty(): Certainty {
    const { staleMs, recoveringMs } = this.view;
    return { staleMs, recoveringMs };
  }
}
