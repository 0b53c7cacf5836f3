import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import { mintId } from '../registry/ids.js';
import { adoptable, isName } from './adoption.js';
import { registerArgs } from './codec.js';
import type { Connection } from './connection.js';
import type { Keys } from './keys.js';
import type { Store } from './store.js';

const RECONCILE_BATCH = 200;
const SCAN_COUNT = 500;
/** Between batches, so that a large keyspace never looks like a burst of load. */
const PAUSE_MS = 2;

interface Reconciled {
  removed: number;
  adopted: string[];
}

/** Brings what the documented keys say in line with the leases, and adopts what was written there by hand. */
export class Reconciler {
  constructor(
    private readonly store: Store,
    private readonly ttlBounds: { minSeconds: number; maxSeconds: number },
    private readonly log: Logger,
  ) {}

  async run(signal: AbortSignal) {
    const { connection, keys } = this.store;
    const total = { removed: 0, adopted: [] as string[] };
    const seen = new Set<string>();
    for await (const key of groupSets(connection, keys)) {
      const home = key.slice(keys.membersStem.length);
      seen.add(home);
      for await (const ids of pages((cursor) => connection.sscan(key, cursor, 'COUNT', RECONCILE_BATCH))) {
        if (signal.aborted) return total;
        await this.#reconcileMembers(home, ids, total);
      }
    }
    // Every leased instance is a member of its group's Set, whatever somebody did to the Set.
    for await (const found of pages((cursor) => connection.zscan(keys.leases, cursor, 'COUNT', RECONCILE_BATCH))) {
      if (signal.aborted) return total;
      const members = found.filter((_, i) => i % 2 === 0); // the rest are scores
      for (const [home, ids] of byHome(members)) await this.#reconcileMembers(home, ids, total);
    }
    // Groups of the index whose Set is gone: asked with no members, the script only looks whether the group is empty.
    for (const home of await connection.smembers(keys.groups)) {
      if (!seen.has(home)) await this.#reconcileBatch(home, [], total);
    }
    return total;
  }

  /** A scan may return more than was asked for, and a script call must stay short. */
  async #reconcileMembers(home: string, ids: string[], total: Reconciled) {
    for (let start = 0; start < ids.length; start += RECONCILE_BATCH) {
      await this.#reconcileBatch(home, ids.slice(start, start + RECONCILE_BATCH), total);
    }
  }

  async #reconcileBatch(home: string, ids: string[], total: Reconciled) {
    const { connection, scripts } = this.store;
    const [removed, ...strays] = (await scripts.run(connection, 'reconcile', [home, ...ids])) as [number, ...string[]];
    total.removed += removed;
    for (const id of strays) {
      try {
        if (await this.#adopt(home, id)) total.adopted.push(`${home}:${id}`);
      } catch (error) {
        if (!isReplyError(error)) throw error;
        this.log.warn({ home, instanceId: id, error: error.message }, 'hand-written instance not adopted');
      }
    }
  }

  /** Registers what a client wrote with HSET, EXPIRE and SADD, with the lease that its EXPIRE asked for. */
  async #adopt(home: string, id: string): Promise<boolean> {
    const { connection, keys, scripts } = this.store;
    const [type = '', group = '', ...rest] = home.split(':');
    if (rest.length > 0 || ![type, group, id].every(isName)) {
      this.log.warn({ type, group, instanceId: id }, 'hand-written instance not adopted: type, group or id is not a valid name');
      return false;
    }
    const [face, leftMs] = await Promise.all([connection.hgetall(keys.face(id)), connection.pttl(keys.face(id))]);
    const { minSeconds, maxSeconds } = this.ttlBounds;
    const ttlSeconds = Math.min(Math.max(Math.ceil(leftMs / 1000), minSeconds), maxSeconds);
    const incarnation = isName(face.incarnation) ? face.incarnation : mintId();
    const registration = { ...adoptable(id, face), instanceId: id, type, group, incarnation, ttlSeconds };
    const [[outcome]] = (await scripts.run(connection, 'register', registerArgs(registration, 'adopt', '*', ''))) as [[string]];
    return outcome === 'created';
  }
}

/** Redis understood and refused, so the key is at fault; any other error is Redis being away. */
const isReplyError = (error: unknown): error is Error => error instanceof Error && error.name === 'ReplyError';

/** `<type>:<group>:<id>` as ids by home. */
function byHome(members: string[]) {
  const homes = new Map<string, string[]>();
  for (const member of members) {
    const split = member.lastIndexOf(':');
    const home = member.slice(0, split);
    const ids = homes.get(home) ?? [];
    ids.push(member.slice(split + 1));
    homes.set(home, ids);
  }
  return homes;
}

/** The pages of a SCAN of any kind, with a pause after each. */
async function* pages(scan: (cursor: string) => Promise<[cursor: string, items: string[]]>): AsyncGenerator<string[]> {
  let cursor = '0';
  do {
    const [next, items] = await scan(cursor);
    cursor = next;
    if (items.length > 0) yield items;
    await sleep(PAUSE_MS);
  } while (cursor !== '0');
}

/**
 * The Sets of all groups, found by SCAN: one that was only ever written by hand is in no index of ours. In Cluster every
 * primary is asked, because SCAN answers for one node.
 */
async function* groupSets(connection: Connection, keys: Keys): AsyncGenerator<string> {
  const pattern = `${keys.membersStem.replace(/[*?[\]\\]/g, '\\$&')}*`;
  for (const node of 'nodes' in connection ? connection.nodes('master') : [connection]) {
    for await (const found of pages((cursor) => node.scan(cursor, 'MATCH', pattern, 'COUNT', SCAN_COUNT, 'TYPE', 'set'))) yield* found;
  }
}
