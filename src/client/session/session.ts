import { ulid } from 'ulid';
import type { Heartbeat, Status } from '../../contract/index.js';
import type { Identified } from '../base/backend.js';
import type { Client } from '../verbs/client.js';
import { Emitter } from '../base/emitter.js';
import { isPassing, RollcallError } from '../base/errors.js';
import { afterOthers, sleep } from '../base/sleep.js';
import { beatingBy, type Beating } from './beating.js';
import type { JoinOptions, SessionEvents, SessionState } from './session-options.js';
import { leaveWithSignals } from './signals.js';

/** Between two tries to register, in ms, at most; what is refused for good is tried as slowly as this too. */
const AGAIN_MS = 10_000;
/** How much longer than an interval an acknowledgement may take before it is missed. */
const LATE = 1.5;

/** A server's membership: registered, kept alive, and registered again when the registry has forgotten it. */
export class Session extends Emitter<SessionEvents> {
  readonly instanceId: string;
  readonly incarnation = ulid();
  #state: SessionState = 'joining';
  /** What it said last of itself: a registration says everything. */
  #described: Omit<Identified, 'hostname'> & { hostname?: string };
  /** Said with the next heartbeat, and with each after that until one is acknowledged. */
  #changes: Heartbeat = {};
  /** What the call under way says of them. */
  #said: Heartbeat = this.#changes;
  #nudge = new AbortController();
  readonly #over = new AbortController();
  #timers: NodeJS.Timeout[] = [];
  readonly #beats: Beating;
  #performance: (() => Record<string, unknown>) | undefined;
  /** Resolves once it is registered for the first time; rejects if it left, or was superseded, before that. */
  readonly registered: Promise<void>;

  constructor(
    private readonly client: Client,
    { performance, leaveOnSignals = false, worker = false, ...registration }: JoinOptions,
  ) {
    super();
    if (worker && client.settings.hasOwnFetch) throw new RollcallError('invalid_request', 'join: worker: a thread cannot have the fetch that createClient was given');
    this.#beats = beatingBy(worker);
    this.instanceId = registration.instanceId ?? ulid();
    this.#described = { ttlSeconds: client.settings.ttlSeconds, ...registration, instanceId: this.instanceId, incarnation: this.incarnation };
    this.registered = new Promise((resolve, reject) => {
      this.on('registered', () => resolve());
      this.on('state', ({ state }) => {
        if (state === 'left' || state === 'superseded') reject(new RollcallError('stale_incarnation', `'${this.instanceId}' ${state === 'left' ? 'left' : 'is another process'} before it was registered`));
      });
    });
    this.registered.catch(() => undefined); // for whoever asks
    void this.#run(performance);
    if (leaveOnSignals) leaveWithSignals(this, leaveOnSignals === true ? 0 : leaveOnSignals.drainMs);
  }

  get state(): SessionState {
    return this.#state;
  }

  /** Told with a heartbeat at once, and again with the next if that is refused. */
  update(changes: Pick<Heartbeat, 'status' | 'customState' | 'labels'>): void {
    const { labels, customState, status } = changes;
    this.#changes = { ...this.#changes, ...changes, ...(labels && { labels: { ...this.#changes.labels, ...labels } }) };
    const { customState: said, ...described } = this.#described;
    const kept = customState === null ? {} : customState === undefined ? (said === undefined ? {} : { customState: said }) : { customState };
    const merged = Object.entries({ ...described.labels, ...labels }).filter((pair): pair is [string, string] => pair[1] !== null);
    this.#described = { ...described, ...kept, ...(status && { status }), ...(merged.length > 0 || described.labels ? { labels: Object.fromEntries(merged) } : {}) };
    this.#nudge.abort();
  }

  updateStatus(status: Status, customState?: string | null): void {
    this.update({ status, ...(customState !== undefined && { customState }) });
  }

  /**
   * Removes this process from the registry. `last` is said before, and stands in the log of changes. Never rejects: where nobody answers the lease ends
   * it. True when it is known to be gone.
   */
  async leave(last: Pick<Heartbeat, 'status' | 'customState'> = {}): Promise<boolean> {
    if (this.#state === 'left' || this.#state === 'superseded') return true;
    this.#become('left');
    this.#end();
    const { instanceId, incarnation } = this;
    if (Object.keys(last).length > 0) await this.client.heartbeat(instanceId, { incarnation, ...last }).catch(() => undefined);
    const gone = await this.#remove();
    this.client.settings.log.info({ instanceId, gone }, 'left the registry');
    return gone;
  }

  /** True when it is known to be gone. */
  #remove(): Promise<boolean> {
    const { type, group } = this.#described;
    return this.client.remove(this.instanceId, type, group, this.incarnation).then(() => true, (error: unknown) => !isPassing(error));
  }

  async #run(performance: JoinOptions['performance']) {
    this.#performance = performance === false ? undefined : (performance ?? (await machine())?.watchPerformance());
    while (!this.#over.signal.aborted) {
      const intervalMs = await this.#register();
      if (intervalMs === undefined) return;
      const { client, instanceId, incarnation } = this;
      const nudged = () => this.#nudged();
      const renewed = (sentAt: number, nextMs: number, heard?: boolean) => {
        if (this.#state === 'lost') client.settings.log.info({ instanceId }, 'acknowledged again');
        this.#acknowledged(sentAt, nextMs, heard);
      };
      const settings = { ...client.settings, heartbeatIntervalMs: Math.min(intervalMs, client.settings.heartbeatIntervalMs) };
      const end = await this.#beats({ backend: client.backend, settings, instanceId, incarnation, beat: () => this.#beat(), nudged, renewed, signal: this.#over.signal });
      if (end === 'superseded') return this.#superseded();
      if (end === 'unknown') this.#lost('unknown');
    }
  }

  /** Tries for as long as it takes: a gateway that is down fails nobody. Resolves to the interval of heartbeats; undefined when it is over. */
  async #register(): Promise<number | undefined> {
    for (let [tries, refused] = [0, false]; !this.#over.signal.aborted; tries++) {
      const sentAt = performance.now();
      try {
        const { heartbeatIntervalMs } = await this.client.backend.announce(await this.#registration(refused));
        if (this.#over.signal.aborted) return void this.#remove(); // it left meanwhile, and the registry has it again
        const first = this.#state === 'joining';
        this.#acknowledged(sentAt, heartbeatIntervalMs);
        const { instanceId, incarnation } = this;
        this.client.settings.log.info({ instanceId, incarnation, ...idOf(this.#described) }, first ? 'registered' : 'registered again');
        if (first) this.emit('registered', { instanceId, incarnation });
        else this.emit('registeredAgain', { instanceId });
        return heartbeatIntervalMs;
      } catch (error) {
        refused = error instanceof RollcallError && error.code === 'invalid_request';
        if (!isPassing(error)) this.client.settings.log.warn({ err: error, instanceId: this.instanceId }, 'registration refused: trying again');
        else if (tries === 0) this.client.settings.log.warn({ err: error, instanceId: this.instanceId }, 'not registered yet: trying again');
        this.emit('refused', { error });
        const pause = isPassing(error) ? Math.min(AGAIN_MS, 250 * 2 ** Math.min(tries, 10)) : AGAIN_MS;
        await sleep(pause * (0.5 + Math.random() / 2), this.#over.signal).catch(() => undefined);
      }
    }
    return undefined;
  }

  /** What was refused as wrong may be the performance, which is no reason not to be there. */
  async #registration(refused: boolean): Promise<Identified> {
    const { baseURLs, redisUrl } = this.client.settings;
    const { privateIp: own, publicIp } = this.#described;
    const found = (await (await machine())?.describeMachine(own === undefined && publicIp === undefined ? (baseURLs[0] ?? redisUrl) : undefined)) ?? {};
    const { hostname = found.hostname, ...given } = this.#described;
    if (hostname === undefined) throw new RollcallError('invalid_request', 'join: hostname must be given here, there is no machine to ask');
    this.#said = this.#changes; // all of it is in what is described
    return { ...found, ...given, hostname, ...(!refused && this.#riding()) };
  }

  /** Ends the waiting for the next heartbeat when there is something to say. */
  #nudged(): AbortSignal {
    this.#nudge = new AbortController();
    if (this.#state === 'joined' && Object.keys(this.#changes).length > 0) this.#nudge.abort(); // said while the last was under way
    return this.#nudge.signal;
  }

  #beat(): Heartbeat {
    this.#said = this.#changes;
    return { ...this.#changes, ...this.#riding() };
  }

  /** A function of the caller's that throws costs its own words only. */
  #riding(): Pick<Heartbeat, 'performance'> {
    try {
      return this.#performance ? { performance: this.#performance() } : {};
    } catch (err) {
      this.client.settings.log.warn({ err, instanceId: this.instanceId }, 'no performance is sent: the function for it threw');
      return {};
    }
  }

  /** The lease is good until one ttl after this was sent, whatever the clocks of others say. */
  #acknowledged(sentAt: number, nextMs: number, heard = true) {
    if (this.#over.signal.aborted) return; // it left while this was under way: a timer would keep the process for a lease
    if (heard && this.#changes === this.#said) this.#changes = {};
    this.#clearTimers();
    const leaseMs = (this.#described.ttlSeconds as number) * 1000 - (performance.now() - sentAt);
    const timers = this.#timers;
    // Where this process was busy, what came meanwhile is heard first.
    const after = (ms: number, act: () => void) => timers.push(setTimeout(() => afterOthers(() => this.#timers === timers && act()), ms));
    after(Math.min(nextMs * LATE, leaseMs), () => this.#become('unsure'));
    after(leaseMs, () => this.#lost('silence'));
    this.#become('joined');
  }

  #lost(reason: SessionEvents['lost']['reason']) {
    if (this.#over.signal.aborted || (this.#state === 'lost' && reason === 'unknown')) return;
    this.#clearTimers();
    this.client.settings.log.warn({ instanceId: this.instanceId, reason }, 'lost');
    this.#become(reason === 'superseded' ? 'superseded' : 'lost');
    this.emit('lost', { reason });
  }

  #superseded() {
    this.#lost('superseded');
    this.#end();
  }

  #end() {
    this.#over.abort();
    this.#clearTimers();
  }

  #clearTimers() {
    this.#timers.forEach(clearTimeout);
    this.#timers = [];
  }

  #become(state: SessionState) {
    const was = this.#state;
    if (was === state || was === 'left' || was === 'superseded') return;
    this.#state = state;
    this.emit('state', { state, was });
  }
}

/** On demand; a browser has no machine to speak of, so `hostname` has to be given there. */
const machine = () => import('./machine.js').catch(() => undefined);
const idOf = ({ type, group = 'default' }: { type: string; group?: string }) => ({ type, group });
