import type { InstancePatch } from '../contract/index.js';
import { invalidField, RegistryError } from '../registry/errors.js';
import type { GroupCount } from '../registry/group.js';
import { homeKey, type Home } from '../registry/home.js';
import type { Discovery, Freshness, HistoryQuery, Poll, WatchQuery } from '../registry/queries.js';
import type { Beat, BeatResult, Caller, CompleteRegistration, Discovered, Found, History, Registered, Registry, RemoveGuard } from '../registry/registry.js';
import { notFound, stale, tooManyLabels } from '../registry/refusals.js';
import { parseRevision, type Position } from '../registry/revision.js';
import type { Scope } from '../registry/scope.js';
import type { View } from '../registry/view.js';
import type { Sink } from '../registry/watch-frames.js';
import { beginWatch } from '../registry/watch-start.js';
import { decodeInstance, encodePatch, pairs, registerArgs } from './codec.js';
import { changesAfter, readHistory } from './history.js';

import { takePulse, type Pulse } from './pulse.js';
import { storeUnavailable } from './store-error.js';
import type { Store } from './store.js';

/** How long a read waits for the view to come as far as it asks for. */
const CATCH_UP_MS = 1000;

/** The registry over Redis: the server's own, and the client's Redis-direct mode. */
export class RedisRegistry implements Registry {
  #asking: Promise<Pulse> | undefined;

  constructor(
    private readonly store: Store,
    private readonly view: View,
  ) {}

  async register(registration: CompleteRegistration, caller: Caller, from?: Home | null): Promise<Registered> {
    const { instanceId } = registration;
    const home = from === undefined ? '*' : from === null ? '' : homeKey(from);
    const args = registerArgs(registration, 'register', home, caller.name);
    const [outcome, revision] = (await this.store.turns.join('register', args)) as [string, string];
    if (outcome === 'moved') throw new RegistryError('forbidden', `instance '${instanceId}' lives in another type or group`);
    if (outcome === 'failed') throw storeUnavailable(new Error(revision));
    return { outcome: outcome as Registered['outcome'], revision };
  }

  async heartbeat(beats: Beat[]): Promise<BeatResult[]> {
    const [only] = beats;
    const replies = beats.length === 1 && only ? [await this.store.turns.join('heartbeat', encodeBeat(only))] : await this.store.turns.beats(beats.map(encodeBeat));
    return replies.map(beatResult);
  }

  async patch(id: string, patch: InstancePatch, caller: Caller, home?: Home): Promise<Found> {
    const cordoned = patch.cordoned === undefined ? '' : patch.cordoned ? '1' : '0';
    const args = [id, home ? homeKey(home) : '', caller.name, ...encodePatch(patch), cordoned];
    const [code, result] = (await this.store.turns.run('patch', args)) as [number, string[] | string];
    if (code === 404) throw notFound(id);
    if (code === 400) throw tooManyLabels();
    return found(result as string[]);
  }

  async remove(id: string, guard: RemoveGuard, caller: Caller): Promise<string> {
    const args = [id, guard.type ?? '', guard.group ?? '', guard.incarnation ?? '', caller.name];
    const [code, revision] = (await this.store.turns.run('remove', args)) as [number, string];
    if (code === 404) throw notFound(id);
    if (code === 409) throw stale(id);
    return revision;
  }

  async find(id: string, need: Freshness = {}): Promise<Found | undefined> {
    await this.#catchUp(need);
    return this.view.find(id);
  }

  async discover(query: Discovery, need: Freshness = {}, poll?: Poll): Promise<Discovered> {
    const { view } = this;
    await this.#catchUp(need);
    let answer = view.answer(query);
    if (poll?.isKnown(answer.etag)) {
      await view.polls.wait(query, poll.isKnown, poll.waitMs, poll.signal);
      answer = view.answer(query);
    }
    return { answer, revision: view.revision, staleMs: view.staleMs };
  }

  async groups(need: Freshness = {}, scope?: Scope): Promise<GroupCount[]> {
    await this.#catchUp(need);
    return this.view.groups(scope);
  }

  watch(query: WatchQuery, from: string | undefined, sink: Sink): Promise<void> {
    const log = {
      catchUp: () => this.#catchUp({ strong: true }),
      changesAfter: (position: Position) => changesAfter(this.store, position),
    };
    return beginWatch(this.view, log, query, from, sink);
  }

  async history(query: HistoryQuery): Promise<History> {
    try {
      return await readHistory(this.store, query);
    } catch (error) {
      throw storeUnavailable(error);
    }
  }

  async locate(ids: string[]): Promise<(Home | undefined)[]> {
    try {
      const pipeline = this.store.connection.pipeline();
      for (const id of ids) pipeline.hmget(this.store.keys.record(id), 'type', 'group');
      const replies = (await pipeline.exec()) ?? [];
      return replies.map(([error, home]) => {
        if (error) throw error;
        const [type, group] = home as [string | null, string | null];
        return type === null || group === null ? undefined : { type, group };
      });
    } catch (error) {
      throw storeUnavailable(error);
    }
  }

  /** Waits until the view has what a read needs. */
  async #catchUp({ minRevision, strong }: Freshness) {
    if (minRevision === undefined && !strong) return;
    const asked = minRevision === undefined ? undefined : parseRevision(minRevision);
    if (minRevision !== undefined && !asked) throw invalidField('?minRevision', 'must be a revision that this API gave');
    if (asked && !strong && asked.epoch === this.view.table.position.epoch) return this.view.reached(asked, 0, CATCH_UP_MS);
    try {
      const { epoch, head, nowMs } = await this.#askStore();
      // A watermark of the same millisecond may come from a read before this call.
      await this.view.reached({ epoch, id: head }, nowMs + 1, CATCH_UP_MS);
    } catch (error) {
      throw error instanceof RegistryError ? error : storeUnavailable(error);
    }
  }

  /** The head of the log and the time, asked once for all who need it in this turn, and at its end: after all of them came. */
  #askStore(): Promise<Pulse> {
    this.#asking ??= new Promise((resolve, reject) => {
      setImmediate(() => {
        this.#asking = undefined;
        takePulse(this.store.connection, this.store.scripts).then(resolve, reject);
      });
    });
    return this.#asking;
  }
}

/** A beat as heartbeat.lua takes it: the id, the letters of the parts that follow, those parts. */
function encodeBeat(beat: Beat): string[] {
  const [status, customState, labels] = encodePatch(beat);
  const args = [beat.instanceId, ''];
  addPart(args, 'i', beat.incarnation);
  addPart(args, 'h', beat.home && homeKey(beat.home));
  addPart(args, 'p', beat.performance && JSON.stringify(beat.performance));
  addPart(args, 's', status);
  addPart(args, 'c', customState);
  addPart(args, 'l', labels);
  return args;
}

function addPart(args: string[], letter: string, part: string | undefined) {
  if (!part) return;
  args[1] += letter;
  args.push(part);
}

function beatResult(reply: unknown): BeatResult {
  const [code, said = '', expiresAtMs, ttlMs] = reply as [number, string?, string?, string?];
  switch (code) {
    case 200:
      return { status: 200, revision: said, expiresAtMs: Number(expiresAtMs), ttlMs: Number(ttlMs) };
    case 404:
      return { status: 404, code: 'instance_not_found' };
    case 409:
      return { status: 409, code: 'stale_incarnation' };
    case 400:
      return { status: 400, code: 'invalid_request', detail: said };
    default:
      return { status: 503, code: 'store_unavailable', detail: said };
  }
}

function found(flat: string[]): Found {
  const fields = pairs(flat);
  return { instance: decodeInstance(fields), revision: fields.revision ?? '' };
}
