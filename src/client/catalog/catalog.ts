import type { Change, Instance, PerformanceFrame, Snapshot } from '../../contract/index.js';
import type { WatchMessage } from '../../registry/registry.js';
import type { Client } from '../verbs/client.js';
import { Emitter } from '../base/emitter.js';
import { RollcallError } from '../base/errors.js';
import { candidatesOf } from './candidates.js';
import { Ejected } from './ejected.js';
import { follow } from '../verbs/follow.js';
import { sleep } from '../base/sleep.js';
import { Keeping } from './keeping.js';
import { choose, STRATEGIES, type Strategy } from './pick.js';

export interface CatalogOptions {
  type: string;
  /** All groups unless given. */
  group?: string;
  /** Where to choose from when `group` has nobody, in this order; only with `group`. */
  fallbackGroups?: readonly string[];
  /** Instances with this label are chosen before others of their group. */
  zone?: string;
  strategy?: Strategy;
  /** Of `performance`, for `least-load` and `two-choices`; `load` unless given. The less the better. */
  loadField?: string;
  /** Where the last good list is kept, for a start while no gateway answers. Not in browsers. */
  file?: string;
}

export interface CatalogEvents extends Record<string, unknown> {
  /** Somebody came, went or changed. */
  change: { instances: number; added: string[]; removed: string[] };
  /** Whether changes are being heard. The last list stays while they are not. */
  connected: { connected: boolean; reason?: unknown };
}

export interface PickOptions {
  /** For `hash`: what to choose for, such as a player's id. */
  key?: string;
  /** Ids that were tried already. */
  not?: readonly string[];
}

/** How often it is asked whether those are alive whom the caller reported, and whether the registry has everything again, in ms. */
const LOOK_MS = 1000;

/**
 * A local copy of who is there, kept up to date by a watch; choosing from it asks nobody. While no gateway answers the last list stays. An answered
 * empty list is empty.
 */
export class Catalog extends Emitter<CatalogEvents> {
  #instances = new Map<string, Instance>();
  /** A snapshot lacked them, and it is not sure yet that they are gone: a registry that lost its data is given it back. */
  readonly #doubtful = new Set<string>();
  /** Of a snapshot that is not whole yet. */
  #coming: Map<string, Instance> | undefined;
  readonly #keeping: Keeping | undefined;
  readonly #ejected: Ejected;
  readonly #over = new AbortController();
  #turn = 0;
  #live = false;
  #listed = false;
  /** Resolves with the first list, from a gateway or from `file`. Rejects if it was closed before. */
  readonly ready: Promise<void>;
  #isReady: () => void = () => undefined;

  /** @throws {RollcallError} invalid_request, which names the option. */
  constructor(
    private readonly client: Client,
    private readonly options: Partial<CatalogOptions>,
  ) {
    super();
    const { type, strategy = 'round-robin', group, fallbackGroups, file } = options;
    if (type !== undefined && (typeof type !== 'string' || type === '')) throw new RollcallError('invalid_request', 'catalog: type must be given');
    if (!STRATEGIES.includes(strategy)) throw new RollcallError('invalid_request', `catalog: strategy must be one of ${STRATEGIES.join(', ')}`);
    if (fallbackGroups && group === undefined) throw new RollcallError('invalid_request', 'catalog: fallbackGroups needs group');
    this.#ejected = new Ejected(client, () => this.#instances);
    this.#keeping = file === undefined ? undefined : new Keeping(file, client.settings.log);
    this.ready = new Promise((resolve, reject) => {
      this.#isReady = resolve;
      this.#over.signal.addEventListener('abort', () => reject(new RollcallError('unreachable', 'the catalog was closed before anybody answered')));
    });
    this.ready.catch(() => undefined); // for whoever asks
    void this.#run();
    void this.#look();
  }

  /** Changes are being heard: what it says is what a gateway says. */
  get live(): boolean {
    return this.#live;
  }

  /** There has been a list, from a gateway or from `file`: who is not in it is not there. */
  get listed(): boolean {
    return this.#listed;
  }

  /** Everybody, whatever they say of themselves. */
  get instances(): Instance[] {
    return [...this.#instances.values()];
  }

  get(instanceId: string): Instance | undefined {
    return this.#instances.get(instanceId);
  }

  /** One to call, or undefined when there is nobody. Never one that is not `ready`, is cordoned, or fails its health check. */
  pick({ key, not = [] }: PickOptions = {}): Instance | undefined {
    const { strategy = 'round-robin', loadField = 'load' } = this.options;
    const from = this.candidates(not);
    return from.length === 0 ? undefined : choose(from, { strategy, loadField }, { turn: this.#turn++, key, random: Math.random });
  }

  /** A call to this one failed: it is not chosen before it has given a sign of life, unless there is nobody else. */
  report(instance: Instance): void {
    this.#ejected.add(instance);
  }

  close(): void {
    this.#over.abort();
  }

  /** Whom `pick` chooses from: those of the best kind that there is. */
  candidates(not: readonly string[] = []): Instance[] {
    return candidatesOf(this.#instances.values(), this.options, this.#ejected, not);
  }

  async #run() {
    const { type, group, fallbackGroups, strategy } = this.options;
    const kept = await this.#keeping?.read();
    if (kept && !this.#live) this.#replace(new Map(kept.map((one) => [one.instanceId, one])));
    const query = { ...(type !== undefined && { type }), ...(group !== undefined && !fallbackGroups && { group }), ...((strategy === 'least-load' || strategy === 'two-choices') && { performance: true }) };
    const connected = (is: boolean, reason?: unknown) => {
      this.#live = is;
      this.#coming = undefined; // of a stream that broke off
      this.emit('connected', { connected: is, reason });
    };
    for await (const message of follow(this.client.backend, query, this.#over.signal, this.client.settings.log, { connected })) this.#take(message);
  }

  #take({ event, data }: WatchMessage) {
    if (event === 'snapshot') return this.#takeSnapshot(data);
    if (event === 'performance') return this.#takePerformance(data);
    if (event === 'bookmark' || event === 'reset' || event === 'held' || event === 'released') return;
    const { instance } = data as Change & { instance: Instance };
    const wanted = this.#isWanted(data.kind === 'removed' || data.kind === 'expired' ? undefined : instance);
    const known = this.#instances.has(instance.instanceId);
    this.#doubtful.delete(instance.instanceId);
    if (wanted) this.#instances.set(instance.instanceId, instance);
    else this.#instances.delete(instance.instanceId);
    if (wanted || known) this.#changed(wanted && !known ? [instance.instanceId] : [], wanted ? [] : [instance.instanceId]);
  }

  #isWanted(instance: Instance | undefined): boolean {
    const { group, fallbackGroups = [] } = this.options;
    return instance !== undefined && (group === undefined || instance.group === group || fallbackGroups.includes(instance.group));
  }

  #takeSnapshot({ instances, more }: Snapshot) {
    this.#coming ??= new Map();
    for (const instance of instances) if (this.#isWanted(instance)) this.#coming.set(instance.instanceId, instance);
    if (more) return;
    const whole = this.#coming;
    this.#coming = undefined;
    this.#doubtful.clear();
    for (const [id, instance] of this.#instances) {
      if (whole.has(id)) continue;
      this.#doubtful.add(id);
      whole.set(id, instance);
    }
    this.#replace(whole);
    if (this.#doubtful.size > 0) void this.#settle();
  }

  /** Those whom the snapshot lacked go once the registry says that nothing is lacking any more. */
  async #settle() {
    if (this.#doubtful.size === 0) return;
    const { type, group } = this.options;
    const certain = await this.client.backend.discover({ ...(type !== undefined && { type }), ...(group !== undefined && { group }), limit: 1 }).then(
      ({ staleMs, recoveringMs }) => staleMs === undefined && recoveringMs === undefined,
      () => false,
    );
    if (!certain || this.#doubtful.size === 0) return;
    const gone = [...this.#doubtful];
    this.#doubtful.clear();
    for (const id of gone) this.#instances.delete(id);
    this.#changed([], gone);
  }

  #replace(instances: Map<string, Instance>) {
    const [added, removed] = [[...instances.keys()].filter((id) => !this.#instances.has(id)), [...this.#instances.keys()].filter((id) => !instances.has(id))];
    this.#instances = instances;
    this.#listed = true;
    this.#isReady();
    this.#changed(added, removed);
  }

  #takePerformance({ instances }: PerformanceFrame) {
    for (const { instanceId, performance, lastHeartbeat } of instances) {
      const known = this.#instances.get(instanceId);
      if (known) this.#instances.set(instanceId, { ...known, performance, lastHeartbeat });
    }
  }

  #changed(added: string[], removed: string[]) {
    const { type, group } = this.options;
    const instances = this.#instances.size;
    if (added.length > 0 || removed.length > 0) this.client.settings.log.info({ ...(type !== undefined && { type }), ...(group !== undefined && { group }), instances, added: added.length, removed: removed.length }, `${instances} instances`);
    this.#keeping?.write(this.instances);
    this.emit('change', { instances, added, removed });
  }

  async #look() {
    while (!this.#over.signal.aborted) {
      await sleep(LOOK_MS, this.#over.signal).catch(() => undefined);
      await this.#ejected.look(this.#over.signal);
      await this.#settle();
    }
  }
}
