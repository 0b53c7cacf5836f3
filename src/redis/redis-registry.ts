import type { Instance, InstancePatch, Status } from '../contract/index.js';
import { STATUSES } from '../contract/index.js';
import { RegistryError } from '../registry/errors.js';
import type { Beat, BeatResult, Caller, CompleteRegistration, Discovered, Discovery, Found, GroupCount, Home, Registered, Registry, RemoveGuard } from '../registry/registry.js';
import { inScope, type Scope } from '../registry/scope.js';
import { notFound, stale, tooManyLabels } from '../registry/refusals.js';
import { decodeInstance, encodePatch, pairs, registerArgs } from './codec.js';
import type { Connection } from './connection.js';
import { homeKey, type Keys } from './keys.js';
import type { Scripts } from './scripts.js';
import { storeUnavailable } from './store-error.js';
import type { Turns } from './turns.js';

/** Members one discover call looks at: a script blocks Redis while it runs. */
const DISCOVER_STEP = 1000;
/** A filter that nothing matches looks at everybody: one caller must not keep Redis busy for longer than this. */
const DISCOVER_WITHIN_MS = 3000;

export interface Store {
  connection: Connection;
  keys: Keys;
  scripts: Scripts;
  turns: Turns;
}

/** The registry over Redis: the server's own, and the client's Redis-direct mode. */
export class RedisRegistry implements Registry {
  constructor(private readonly store: Store) {}

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

  async find(id: string): Promise<Found | undefined> {
    const flat = (await this.#read('find', [id])) as string[];
    return flat.length > 0 ? found(flat) : undefined;
  }

  async discover(query: Discovery): Promise<Discovered> {
    const deadline = performance.now() + DISCOVER_WITHIN_MS;
    const instances: Instance[] = [];
    let after = query.after ?? '';
    do {
      if (performance.now() > deadline) throw new RegistryError('overloaded', 'too much to look through: narrow the query by type and group');
      const [next, ...records] = (await this.#read('discover', [query.type ?? '', query.group ?? '', after, DISCOVER_STEP])) as [string, ...string[][]];
      for (const flat of records) {
        const instance = decodeInstance(pairs(flat));
        if (!matches(query, instance)) continue;
        const last = instances.at(-1);
        if (last && instances.length === query.limit) return { instances, next: `${homeKey(last)}:${last.instanceId}` };
        instances.push(instance);
      }
      after = next;
    } while (after !== '' && instances.length < query.limit);
    return { instances, ...(after !== '' && { next: after }) };
  }

  async groups(scope?: Scope): Promise<GroupCount[]> {
    const counts = new Map<string, GroupCount>();
    let after: string | undefined;
    do {
      const page: Discovered = await this.discover({ limit: DISCOVER_STEP, ...(scope && { scope }), ...(after && { after }) });
      for (const instance of page.instances) count(counts, instance);
      after = page.next;
    } while (after);
    return [...counts.values()];
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

  async #read(verb: 'find' | 'discover', args: (string | number)[]): Promise<unknown> {
    try {
      return await this.store.scripts.run(this.store.connection, verb, args);
    } catch (error) {
      throw storeUnavailable(error);
    }
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

function matches({ statuses, labels, scope }: Discovery, instance: Instance): boolean {
  if (statuses && !statuses.includes(instance.status)) return false;
  if (!inScope(scope, instance)) return false;
  return labels === undefined || Object.entries(labels).every(([key, value]) => instance.labels[key] === value);
}

function count(counts: Map<string, GroupCount>, instance: Instance) {
  const key = homeKey(instance);
  let group = counts.get(key);
  if (!group) {
    const statuses = Object.fromEntries(STATUSES.map((status) => [status, 0])) as Record<Status, number>;
    group = { type: instance.type, group: instance.group, instances: 0, cordoned: 0, statuses };
    counts.set(key, group);
  }
  group.instances++;
  group.statuses[instance.status]++;
  if (instance.cordoned) group.cordoned++;
}
