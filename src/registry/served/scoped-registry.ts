import type { InstancePatch } from '../../contract/index.js';
import { RegistryError } from '../errors.js';
import { forbiddenHome, forbiddenInstance, insistScope, notFound } from '../refusals.js';
import type { Home } from '../home.js';
import type { Discovery, Freshness, HistoryQuery, Poll, WatchQuery } from '../queries.js';
import type { Beat, BeatResult, Caller, CompleteRegistration, Registered, RemoveGuard } from '../registry.js';
import { inScope, type Scope } from '../scope.js';
import type { Sink } from '../watch/frames.js';
import type { ServedRegistry } from './served-registry.js';

const ATTEMPTS = 3;
const FORBIDDEN_BEAT: BeatResult = { status: 403, code: 'forbidden' };
/** Who is unknown is not looked for everywhere: it might be registered in another's home by then. */
const NOWHERE: Home = { type: '', group: '' };

/**
 * A registry as a token with type and group patterns sees it. An instance's home is looked up first, and the verb itself
 * then insists on that home, so an id that moves in between is refused and not touched.
 */
export class ScopedRegistry implements ServedRegistry {
  constructor(
    private readonly registry: ServedRegistry,
    private readonly scope: Scope,
  ) {}

  async register(registration: CompleteRegistration, caller: Caller): Promise<Registered> {
    if (!inScope(this.scope, registration)) throw forbiddenHome(registration);
    for (let attempt = 1; ; attempt++) {
      const [home] = await this.registry.locate([registration.instanceId]);
      if (home) this.#insist(home, registration.instanceId);
      try {
        return await this.registry.register(registration, caller, home ?? null);
      } catch (error) {
        const moved = error instanceof RegistryError && error.code === 'forbidden';
        if (!moved || attempt === ATTEMPTS) throw error;
      }
    }
  }

  async heartbeat(beats: Beat[]): Promise<BeatResult[]> {
    const homes = await this.registry.locate(beats.map((beat) => beat.instanceId));
    const mine = homes.map((home) => home === undefined || inScope(this.scope, home));
    const sent = beats.flatMap((beat, i) => (mine[i] ? [{ ...beat, home: homes[i] ?? NOWHERE }] : []));
    const results = sent.length > 0 ? (await this.registry.heartbeat(sent)).values() : [].values();
    return mine.map((isMine) => (isMine ? (results.next().value as BeatResult) : FORBIDDEN_BEAT));
  }

  async patch(id: string, patch: InstancePatch, caller: Caller) {
    return this.registry.patch(id, patch, caller, { home: await this.#homeOf(id) });
  }

  async remove(id: string, guard: RemoveGuard, caller: Caller) {
    const home = await this.#homeOf(id);
    if ((guard.type ?? home.type) !== home.type || (guard.group ?? home.group) !== home.group) throw notFound(id);
    return this.registry.remove(id, { ...guard, ...home }, caller);
  }

  async find(id: string, need?: Freshness) {
    const sought = await this.registry.find(id, need);
    if (sought.found) this.#insist(sought.found.instance, id);
    return sought;
  }

  async discover(query: Discovery, need?: Freshness, poll?: Poll) {
    insistScope(this.scope, query);
    return this.registry.discover({ ...query, scope: this.scope }, need, poll);
  }

  groups(need?: Freshness) {
    return this.registry.groups(need, this.scope);
  }

  async watch(query: WatchQuery, from: string | undefined, sink: Sink) {
    insistScope(this.scope, query);
    return this.registry.watch({ ...query, scope: this.scope }, from, sink);
  }

  async history(query: HistoryQuery) {
    insistScope(this.scope, query);
    return this.registry.history({ ...query, scope: this.scope });
  }

  async release(home: Home, caller: Caller) {
    insistScope(this.scope, home);
    return this.registry.release(home, caller);
  }

  locate(ids: string[]) {
    return this.registry.locate(ids);
  }

  async #homeOf(id: string): Promise<Home> {
    const [home] = await this.registry.locate([id]);
    if (!home) throw notFound(id);
    this.#insist(home, id);
    return home;
  }

  #insist(home: Home, id: string) {
    if (!inScope(this.scope, home)) throw forbiddenInstance(id);
  }
}
