import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import type { Maintenance, SweepResult } from '../../registry/maintenance.js';
import type { Position } from '../../registry/revision.js';
import { decodePulse } from '../log/pulse.js';
import { Reconciler } from './reconcile.js';
import { SpoiltKeys } from './spoilt-keys.js';
import type { Store } from '../scripts/store.js';

/** Evictions per script call: 100 take some 3 ms of Redis, which serves nobody else meanwhile. */
const SWEEP_BATCH = 100;
/** Lapsed leases read at once, to find those that are not held. */
const LAPSED_PAGE = 2000;
/** Holds of one script call. */
const HOLDS_BATCH = 100;
/** Between batches, so that a large keyspace never looks like a burst of load. */
const PAUSE_MS = 2;

export class RedisMaintenance implements Maintenance {
  readonly #reconciler: Reconciler;
  readonly #spoilt: SpoiltKeys;
  /** `<type>:<group>` of those that were held when this tick began. */
  #held = new Set<string>();

  constructor(
    private readonly store: Store,
    ttlBounds: { minSeconds: number; maxSeconds: number },
    log: Logger,
    /** How far this replica's view has read. */
    private readonly position: () => Position | undefined = () => undefined,
  ) {
    this.#reconciler = new Reconciler(store, ttlBounds, log);
    this.#spoilt = new SpoiltKeys(store, log);
  }

  async sweep(skip = 0): Promise<SweepResult> {
    const { connection, keys, scripts } = this.store;
    if (skip === 0) await this.#spoilt.look(); // before what may fail for it
    const { nowMs, judgedMs } = decodePulse(await scripts.run(connection, 'pulse', ['sweep']));
    if (skip === 0) await this.#settleHolds(nowMs);
    const lapsed = await connection.zcount(keys.leases, '-inf', String(Math.min(nowMs, judgedMs)));
    const unjudged = judgedMs < nowMs;
    if (lapsed <= skip) return { evicted: [], rescored: 0, held: 0, more: unjudged };
    const page = await connection.zrange(keys.leases, skip, String(Math.min(skip + LAPSED_PAGE, lapsed) - 1));
    const candidates = page.flatMap((member, at) => (this.#held.has(homeOf(member)) ? [] : [{ member, at }])).slice(0, SWEEP_BATCH);
    const { looked, held, rescored, evicted } = await this.#evict(candidates.map(({ member }) => member));
    // Who is held keeps its place in front; those before the first that is left for the next call have been passed.
    const passed = candidates[looked]?.at ?? (candidates.length === SWEEP_BATCH ? (candidates.at(-1)?.at as number) + 1 : page.length);
    return { evicted, rescored, held: passed - looked + held, more: skip + passed < lapsed || unjudged };
  }

  async #evict(candidates: string[]) {
    if (candidates.length === 0) return { looked: 0, held: 0, rescored: 0, evicted: [] };
    const { epoch, id } = this.position() ?? { epoch: '', id: '' };
    const reply = await this.store.scripts.run(this.store.connection, 'sweep', [epoch, id, ...candidates]);
    const [looked, held, rescored, ...evicted] = reply as [number, number, number, ...string[]];
    return { looked, held, rescored, evicted };
  }

  /** Ends the holds whose time is over, forgets those that have cooled down, and remembers the others. */
  async #settleHolds(nowMs: number) {
    const { connection, keys, scripts } = this.store;
    this.#held.clear();
    let cursor = '0';
    do {
      const [next, flat] = await connection.hscan(keys.holds, cursor, 'COUNT', HOLDS_BATCH);
      cursor = next;
      const due: string[] = [];
      for (let i = 0; i < flat.length; i += 2) {
        const [home, text] = [flat[i] as string, flat[i + 1] as string];
        if (home === '') continue; // the mark of judging
        const [since = NaN, until = NaN, cool = NaN] = text.split(' ').map(Number);
        const held = text.endsWith(' held');
        if (held && since <= nowMs && nowMs < until) this.#held.add(home);
        else if (held || !(since <= nowMs && nowMs < cool)) due.push(home);
      }
      for (let from = 0; from < due.length; from += HOLDS_BATCH) await scripts.run(connection, 'release', ['', ...due.slice(from, from + HOLDS_BATCH)]);
      if (cursor !== '0') await sleep(PAUSE_MS);
    } while (cursor !== '0');
  }

  async claimReconcile(everyMs: number): Promise<boolean> {
    const { connection, keys } = this.store;
    if ((await connection.set(keys.reconcile, '1', 'PX', everyMs, 'NX')) === 'OK') return true;
    // It ends by the clock of Redis: if that was set back since, it would last for as long.
    if ((await connection.pttl(keys.reconcile)) > everyMs) await connection.del(keys.reconcile);
    return false;
  }

  reconcile(signal: AbortSignal) {
    return this.#reconciler.run(signal);
  }
}

const homeOf = (member: string) => member.slice(0, member.lastIndexOf(':'));
