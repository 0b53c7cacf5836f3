import type { InstancePatch } from '../../contract/index.js';
import { RegistryError } from '../errors.js';
import type { Home } from '../home.js';
import type { Freshness } from '../queries.js';
import { incarnationOf } from '../log/record.js';
import { isPatch, type Beat, type BeatResult, type Caller, type CompleteRegistration, type Found, type PatchGuard, type Registrar, type RemoveGuard } from '../registry.js';
import type { Known, View } from '../view/view.js';

/** An instance that the store does not know, or as another process than this. */
export interface Missed {
  instanceId: string;
  incarnation: string;
  /** One past its lease too: a heartbeat renews it, a patch does not. */
  lapsedToo: boolean;
}

export interface Restorer {
  /** Resolves when the view has everything that was acknowledged anywhere before. */
  catchUp: (need: Freshness) => Promise<void>;
  /**
   * Gives the store those of these instances that the view still has, as the same incarnation. Resolves to their ids.
   * @throws {RegistryError} store_unavailable
   */
  giveBack: (missed: Missed[]) => Promise<Set<string>>;
}

const RESTORING = 'the registry store has lost data, and replicas are restoring it';

/**
 * The verbs, with a second opinion on 404 and 409. After a failover the store may not know an instance that it knew, or know an older
 * process of it, and an owner that is fenced never comes back. So what this replica still knows is restored first, and the call runs again;
 * and while other replicas may still be restoring, 404 and 409 become 503.
 */
export class SecondOpinion implements Registrar {
  constructor(
    private readonly registrar: Registrar,
    private readonly view: View,
    private readonly restorer: Restorer,
  ) {}

  register(registration: CompleteRegistration, caller: Caller, from?: Home | null) {
    return this.registrar.register(registration, caller, from);
  }

  async heartbeat(beats: Beat[]): Promise<BeatResult[]> {
    const guarded = beats.some(isPatch) ? beats.map((beat) => this.#guarded(beat)) : beats;
    const known = beats.map(({ instanceId }) => this.view.known(instanceId));
    const results = await this.registrar.heartbeat(guarded);
    if (results.every(({ status }) => status === 200)) return results;
    return this.#reconsider(beats, results, (status, i) => doubted(status, known[i], guarded[i]?.incarnation));
  }

  patch(id: string, patch: InstancePatch, caller: Caller, guard: PatchGuard = {}): Promise<Found> {
    return this.#restoringOnce(id, guard.incarnation, (incarnation) => this.registrar.patch(id, patch, caller, { ...guard, incarnation }));
  }

  remove(id: string, guard: RemoveGuard, caller: Caller): Promise<string> {
    return this.#restoringOnce(id, guard.incarnation, (incarnation) => this.registrar.remove(id, { ...guard, incarnation }, caller));
  }

  /** Retries the refused beats that the store may be wrong about, after restoring what this replica knows of them. */
  async #reconsider(beats: Beat[], results: BeatResult[], doubted: (status: number, i: number) => string | undefined): Promise<BeatResult[]> {
    const lost = new Map<Beat, string>();
    results.forEach(({ status }, i) => {
      const incarnation = doubted(status, i);
      if (incarnation !== undefined) lost.set(beats[i] as Beat, incarnation);
    });
    const again = lost.size > 0 ? await this.#beatAgain(lost) : undefined;
    return results.map((result, i) => this.#sure(again?.get(beats[i] as Beat) ?? result));
  }

  #sure(result: BeatResult): BeatResult {
    if (result.status !== 404 && result.status !== 409) return result;
    const { epoch, ...said } = result;
    return this.#mayLack(epoch) ? { status: 503, code: 'store_unavailable', detail: RESTORING } : said;
  }

  /** A store in this epoch may lack what other replicas know: it has been emptied, say, a moment ago. */
  #mayLack(epoch: string | undefined): boolean {
    return epoch !== undefined && (epoch !== this.view.position?.epoch || this.view.freshness.reuniting);
  }

  /**
   * A change that names no incarnation is meant for the one that this replica knows. After a failover the store may know an older
   * one; changing that would count as a later word than the registration that was lost.
   */
  #guarded(beat: Beat): Beat {
    if (beat.incarnation !== undefined || !isPatch(beat)) return beat;
    const known = this.view.known(beat.instanceId);
    return known ? { ...beat, incarnation: livesAs(known) } : beat;
  }

  /** Beats of instances that the store does not know and the view does. It is not their fault if that takes too long. */
  async #beatAgain(lost: Map<Beat, string>): Promise<Map<Beat, BeatResult>> {
    try {
      await this.restorer.catchUp({ strong: true });
      const back = await this.restorer.giveBack([...lost].map(([{ instanceId }, incarnation]) => ({ instanceId, incarnation, lapsedToo: true })));
      const beats = [...lost].filter(([{ instanceId, incarnation }, asked]) => back.has(instanceId) || incarnation !== asked).map(([beat]) => beat);
      const results = beats.length > 0 ? await this.registrar.heartbeat(beats) : [];
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
  async #restoringOnce<T>(id: string, given: string | undefined, run: (incarnation: string | undefined) => Promise<T>): Promise<T> {
    const known = this.view.known(id);
    const guard = given ?? (known && livesAs(known));
    try {
      return await run(guard);
    } catch (error) {
      const incarnation = doubted(statusOf(error), known, guard);
      if (incarnation === undefined) throw this.#sureError(error);
      await this.restorer.catchUp({ strong: true });
      const back = await this.restorer.giveBack([{ instanceId: id, incarnation, lapsedToo: false }]);
      if (!back.has(id) && given !== undefined) throw this.#sureError(error);
    }
    return run(given).catch((error: unknown) => {
      throw this.#sureError(error);
    });
  }

  #sureError(error: unknown): unknown {
    if (!(error instanceof RegistryError) || !this.#mayLack(error.details.epoch)) return error;
    return new RegistryError('store_unavailable', `${RESTORING}: try again`);
  }
}

/** The incarnation that the store may have lost, where it refused with this status. Who came after the call was sent is not meant. */
function doubted(status: number, knownThen: Known | undefined, named: string | undefined): string | undefined {
  if (status === 404) return knownThen && livesAs(knownThen);
  return status === 409 ? named : undefined;
}

const livesAs = (known: Known) => ('head' in known ? incarnationOf(known) : known.incarnation);

/** What a verb was refused with, as a heartbeat would have been. */
function statusOf(error: unknown): number {
  if (!(error instanceof RegistryError)) return 0;
  return error.code === 'instance_not_found' ? 404 : error.code === 'stale_incarnation' ? 409 : 0;
}
