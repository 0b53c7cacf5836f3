import type { InstancePatch } from '../contract/index.js';
import { patched, registered } from '../registry/effects.js';
import { RegistryError } from '../registry/errors.js';
import type { GroupCount } from '../registry/group.js';
import { homeKey, type Home } from '../registry/home.js';
import type { Discovery, Freshness, HistoryQuery, Poll, WatchQuery } from '../registry/queries.js';
import type { Beat, BeatResult, Caller, CompleteRegistration, Discovered, Found, History, Registered, Registry, RemoveGuard } from '../registry/registry.js';
import { notFound, stale, tooManyLabels } from '../registry/refusals.js';
import type { Position } from '../registry/revision.js';
import type { Scope } from '../registry/scope.js';
import type { View } from '../registry/view.js';
import type { Sink } from '../registry/watch-frames.js';
import { beginWatch } from '../registry/watch-start.js';
import { beatResult, encodeBeat, isPatch } from './beat.js';
import { decodeInstance, encodePatch, pairs, registerArgs } from './codec.js';
import { catchUpWith } from './catch-up.js';
import { LookBack } from './history.js';
import { inTime } from './deadline.js';
import { giveBack } from './give-back.js';
import { storeUnavailable } from './store-error.js';
import type { Store } from './store.js';

const MENDING = 'a failover is being mended';

/** The registry over Redis: the server's own, and the client's Redis-direct mode. */
export class RedisRegistry implements Registry {
  /** Waits until the view has what a read needs. */
  readonly #catchUp: (need: Freshness) => Promise<void>;

  constructor(
    private readonly store: Store,
    private readonly view: View,
    private readonly past = new LookBack(store),
  ) {
    this.#catchUp = catchUpWith(store, view);
  }

  async register(registration: CompleteRegistration, caller: Caller, from?: Home | null): Promise<Registered> {
    const { instanceId } = registration;
    const home = from === undefined ? '*' : from === null ? '' : homeKey(from);
    const args = registerArgs(registration, 'register', home, caller.name);
    const [outcome, revision] = (await this.store.turns.join('register', args)) as [string, string];
    if (outcome === 'moved') throw new RegistryError('forbidden', `instance '${instanceId}' lives in another type or group`);
    if (outcome === 'failed') throw storeUnavailable(new Error(revision));
    this.view.acknowledged(instanceId, revision, registered(registration, revision));
    return { outcome: outcome as Registered['outcome'], revision };
  }

  async heartbeat(beats: Beat[]): Promise<BeatResult[]> {
    const guarded = beats.some(isPatch) ? beats.map((beat) => this.#guarded(beat)) : beats;
    const results = await this.#beat(guarded);
    return results.every(({ status }) => status === 200) ? results : this.#reconsider(beats, guarded, results);
  }

  /** Some beats were refused: those that the store may be wrong about are said again, once it has what this replica knows. */
  async #reconsider(beats: Beat[], guarded: Beat[], results: BeatResult[]): Promise<BeatResult[]> {
    const lost = new Map<Beat, string>();
    results.forEach(({ status }, i) => {
      const incarnation = this.#doubted(status, beats[i]?.instanceId as string, guarded[i]?.incarnation);
      if (incarnation !== undefined) lost.set(beats[i] as Beat, incarnation);
    });
    const again = lost.size > 0 ? await this.#beatAgain(lost) : undefined;
    return results.map((result, i) => this.#sure(again?.get(beats[i] as Beat) ?? result));
  }

  /** Who is unknown, or who owns an id, is not said before every replica has given back what only it knows. */
  #sure(result: BeatResult): BeatResult {
    if (result.status !== 404 && result.status !== 409) return result;
    const { epoch, ...said } = result;
    return epoch !== undefined && this.#mayLack(epoch) ? { status: 503, code: 'store_unavailable', detail: MENDING } : said;
  }

  /** A store in this epoch may lack what other replicas know: it has been emptied, say, a moment ago. */
  #mayLack(epoch: string): boolean {
    return epoch !== this.view.position?.epoch || this.view.reuniting;
  }

  /**
   * A change that names no incarnation is meant for the one that this replica knows. After a failover the store may know an older
   * one; changing that would count as a later word than the registration that was lost.
   */
  #guarded(beat: Beat): Beat {
    if (beat.incarnation !== undefined || !isPatch(beat)) return beat;
    const incarnation = this.view.incarnationOf(beat.instanceId);
    return { ...beat, ...(incarnation !== undefined && { incarnation }) };
  }

  /**
   * The store does not know the instance and the view does; or it knows another process of it. After a failover both may be what
   * it knew before, and an owner that is fenced never comes back: so the view is asked first.
   */
  #doubted(status: number, id: string, incarnation: string | undefined): string | undefined {
    if (status === 404) return this.view.incarnationOf(id);
    return status === 409 ? incarnation : undefined;
  }

  async #beat(beats: Beat[]): Promise<BeatResult[]> {
    const [only] = beats;
    const replies = beats.length === 1 && only ? [await this.store.turns.join('heartbeat', encodeBeat(only))] : await this.store.turns.beats(beats.map(encodeBeat));
    return replies.map((reply, i) => {
      const [beat, result] = [beats[i] as Beat, beatResult(reply)];
      if (result.status === 200 && isPatch(beat)) this.view.acknowledged(beat.instanceId, result.revision, patched(beat, result.revision));
      return result;
    });
  }

  /** Beats of instances that the store does not know and the view does. It is not their fault if that takes too long. */
  async #beatAgain(lost: Map<Beat, string>): Promise<Map<Beat, BeatResult>> {
    try {
      await this.#catchUp({ strong: true });
      const back = await giveBack(this.store, this.view, [...lost].map(([{ instanceId }, incarnation]) => ({ instanceId, incarnation, lapsedToo: true })));
      const beats = [...lost].filter(([{ instanceId, incarnation }, asked]) => back.has(instanceId) || incarnation !== asked).map(([beat]) => beat);
      const results = beats.length > 0 ? await this.#beat(beats) : [];
      return new Map(results.map((result, i) => [beats[i] as Beat, result]));
    } catch (error) {
      const away: BeatResult = { status: 503, code: 'store_unavailable', detail: (error as Error).message };
      return new Map([...lost.keys()].map((beat) => [beat, away]));
    }
  }

  /**
   * Runs a verb on one instance, as the incarnation that this replica knows if the caller names none; and again, as the caller
   * has it, when the store has to be given the instance back first.
   */
  async #insist(id: string, given: string | undefined, run: (incarnation: string) => Promise<unknown>): Promise<unknown> {
    const guard = given ?? this.view.incarnationOf(id);
    const reply = await run(guard ?? '');
    const incarnation = this.#doubted((reply as [number])[0], id, guard);
    if (incarnation === undefined) return this.#insistSure(reply);
    await this.#catchUp({ strong: true });
    const back = await giveBack(this.store, this.view, [{ instanceId: id, incarnation, lapsedToo: false }]);
    const answer = back.has(id) || given === undefined ? await run(given ?? '') : reply;
    return this.#insistSure(answer);
  }

  #insistSure(reply: unknown): unknown {
    const [code, epoch] = reply as [number, string];
    if ((code === 404 || code === 409) && this.#mayLack(epoch)) throw storeUnavailable(new Error(MENDING));
    return reply;
  }

  async patch(id: string, patch: InstancePatch, caller: Caller, home?: Home): Promise<Found> {
    const cordoned = patch.cordoned === undefined ? '' : patch.cordoned ? '1' : '0';
    const args = [id, home ? homeKey(home) : '', caller.name, ...encodePatch(patch), cordoned];
    const [code, result] = (await this.#insist(id, undefined, (incarnation) => this.store.turns.run('patch', [...args, incarnation]))) as [number, string[] | string];
    if (code === 404) throw notFound(id);
    if (code === 400) throw tooManyLabels();
    const { instance, revision } = found(result as string[]);
    this.view.acknowledged(id, revision, () => instance);
    return { instance, revision };
  }

  async remove(id: string, guard: RemoveGuard, caller: Caller): Promise<string> {
    const run = (incarnation: string) => this.store.turns.run('remove', [id, guard.type ?? '', guard.group ?? '', incarnation, caller.name]);
    const [code, revision] = (await this.#insist(id, guard.incarnation, run)) as [number, string];
    if (code === 404) throw notFound(id);
    if (code === 409) throw stale(id);
    this.view.acknowledged(id, revision, () => undefined);
    return revision;
  }

  async find(id: string, need: Freshness = {}): Promise<Found | undefined> {
    await this.#catchUp(need);
    return this.view.find(id);
  }

  async discover(query: Discovery, need: Freshness = {}, poll?: Poll): Promise<Discovered> {
    const { view } = this;
    await this.#catchUp(need);
    let answer = await view.ask(query);
    if (poll?.isKnown(answer.etag)) {
      await view.polls.wait(query, poll.isKnown, poll.waitMs, poll.signal);
      answer = await view.ask(query);
    }
    return { answer, revision: view.revision, staleMs: view.staleMs, recoveringMs: view.recoveringMs };
  }

  async groups(need: Freshness = {}, scope?: Scope): Promise<GroupCount[]> {
    await this.#catchUp(need);
    return this.view.groups.ask(scope);
  }

  watch(query: WatchQuery, from: string | undefined, sink: Sink): Promise<void> {
    const log = {
      catchUp: () => this.#catchUp({ strong: true }),
      changesAfter: (position: Position, asked: WatchQuery) => this.past.changesAfter(position, asked),
    };
    return beginWatch(this.view, log, query, from, sink);
  }

  async history(query: HistoryQuery): Promise<History> {
    try {
      return await this.past.page(query);
    } catch (error) {
      throw error instanceof RegistryError ? error : storeUnavailable(error);
    }
  }

  async release(home: Home, caller: Caller): Promise<boolean> {
    try {
      const { connection, scripts } = this.store;
      return (await inTime(scripts.run(connection, 'release', [caller.name, homeKey(home)]))) === 1;
    } catch (error) {
      throw storeUnavailable(error);
    }
  }

  async locate(ids: string[]): Promise<(Home | undefined)[]> {
    try {
      const pipeline = this.store.connection.pipeline();
      for (const id of ids) pipeline.hmget(this.store.keys.record(id), 'type', 'group');
      const replies = (await inTime(pipeline.exec())) ?? [];
      return replies.map(([error, home], i) => {
        if (error) throw error;
        const [type, group] = home as [string | null, string | null];
        return type === null || group === null ? this.view.homeOf(ids[i] as string) : { type, group };
      });
    } catch (error) {
      throw storeUnavailable(error);
    }
  }
}

function found(flat: string[]): Found {
  const fields = pairs(flat);
  return { instance: decodeInstance(fields), revision: fields.revision ?? '' };
}
