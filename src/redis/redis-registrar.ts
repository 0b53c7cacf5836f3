import type { InstancePatch } from '../contract/index.js';
import { patched, registered } from '../registry/recovery/effects.js';
import { RegistryError } from '../registry/errors.js';
import { homeKey, type Home } from '../registry/home.js';
import type { Effect } from '../registry/recovery/pending.js';
import { notFound, stale, tooManyLabels } from '../registry/refusals.js';
import { isPatch, type Beat, type BeatResult, type Caller, type CompleteRegistration, type Found, type Operator, type PatchGuard, type Registered, type Registrar, type RemoveGuard } from '../registry/registry.js';
import { beatResult, encodeBeat } from './scripts/beat.js';
import { decodeInstance, encodePatch, pairs, registerArgs } from './scripts/codec.js';
import { inTime } from './connect/deadline.js';
import { storeUnavailable } from './connect/store-error.js';
import type { Store } from './scripts/store.js';

/**
 * Told of each write in the moment in which it is acknowledged: a replica remembers it until it has read it in the log, for if the store loses
 * it, this replica alone knows.
 */
type Acknowledged = (id: string, revision: string, effect: Effect) => void;

/** The verbs over Redis, a script each, without a view: what Redis says is said. A replica puts a second opinion before it (registry/served). */
export class RedisRegistrar implements Registrar, Operator {
  constructor(
    private readonly store: Store,
    private readonly acknowledged: Acknowledged = () => undefined,
  ) {}

  async register(registration: CompleteRegistration, caller: Caller, from?: Home | null): Promise<Registered> {
    const home = from === undefined ? '*' : from === null ? '' : homeKey(from);
    const args = registerArgs(registration, 'register', home, caller.name);
    const [outcome, revision] = (await this.store.turns.join('register', args)) as [string, string];
    if (outcome === 'moved') throw new RegistryError('forbidden', `instance '${registration.instanceId}' lives in another type or group`);
    if (outcome === 'failed') throw storeUnavailable(new Error(revision));
    this.acknowledged(registration.instanceId, revision, registered(registration, revision));
    return { outcome: outcome as Registered['outcome'], revision };
  }

  async heartbeat(beats: Beat[]): Promise<BeatResult[]> {
    const [only] = beats;
    const replies = beats.length === 1 && only ? [await this.store.turns.join('heartbeat', encodeBeat(only))] : await this.store.turns.beats(beats.map(encodeBeat));
    return replies.map((reply, i) => {
      const [beat, result] = [beats[i] as Beat, beatResult(reply)];
      if (result.status === 200 && isPatch(beat)) this.acknowledged(beat.instanceId, result.revision, patched(beat, result.revision));
      return result;
    });
  }

  async patch(id: string, patch: InstancePatch, caller: Caller, { home, incarnation = '' }: PatchGuard = {}): Promise<Found> {
    const cordoned = patch.cordoned === undefined ? '' : patch.cordoned ? '1' : '0';
    const args = [id, home ? homeKey(home) : '', caller.name, ...encodePatch(patch), cordoned, incarnation];
    const [code, result] = (await this.store.turns.run('patch', args)) as [number, string[] | string];
    if (code === 404) throw notFound(id, '', result as string);
    if (code === 409) throw stale(id, result as string);
    if (code === 400) throw tooManyLabels();
    const fields = pairs(result as string[]);
    const [instance, revision] = [decodeInstance(fields), fields.revision ?? ''];
    this.acknowledged(id, revision, () => instance);
    return { instance, revision };
  }

  async remove(id: string, { type = '', group = '', incarnation = '' }: RemoveGuard, caller: Caller): Promise<string> {
    const [code, result] = (await this.store.turns.run('remove', [id, type, group, incarnation, caller.name])) as [number, string];
    if (code === 404) throw notFound(id, '', result);
    if (code === 409) throw stale(id, result);
    this.acknowledged(id, result, () => undefined);
    return result;
  }

  async release(home: Home, caller: Caller): Promise<boolean> {
    try {
      const { connection, scripts } = this.store;
      return (await inTime(scripts.run(connection, 'release', [caller.name, homeKey(home)]))) === 1;
    } catch (error) {
      throw storeUnavailable(error);
    }
  }
}
