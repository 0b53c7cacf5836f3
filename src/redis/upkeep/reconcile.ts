import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import { mintId } from '../../registry/ids.js';
import { adoptable, isName } from './hand-written.js';
import { registerArgs } from '../scripts/codec.js';
import type { Connection } from '../connect/connection.js';
import type { Store } from '../scripts/store.js';

const RECONCILE_BATCH = 200;
const SCAN_COUNT = 1000;
/** Of one run for what the index and the leases name; the rest is for the keys of others among which a Set may be. */
const KNOWN_MS = 3000;
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

  /**
   * Goes on where the last run stopped, whichever replica that was, to the end or until it is told to stop. What the index and the
   * leases name comes first, so a large keyspace of others holds up only groups that no index knows.
   */
  async run(signal: AbortSignal) {
    const { connection, keys } = this.store;
    const total = { removed: 0, adopted: [] as string[] };
    const places = await connection.hgetall(keys.reconciled);
    const known = AbortSignal.any([signal, AbortSignal.timeout(KNOWN_MS)]);
    const seen = new Set<string>();

    places.index = await walk((cursor) => connection.sscan(keys.groups, cursor, 'COUNT', 50), places.index, known, async (homes) => {
      for (const home of homes) await this.#reconcileSet(home, seen, total, known);
    });
    // Every leased instance is a member of its group's Set, whatever somebody did to the Set.
    places.leases = await walk((cursor) => connection.zscan(keys.leases, cursor, 'COUNT', RECONCILE_BATCH), places.leases, known, async (found) => {
      const members = found.filter((_, i) => i % 2 === 0); // the rest are scores
      for (const [home, ids] of byHome(members)) await this.#reconcileMembers(home, ids, total);
    });
    // A Set that was only ever written by hand is in no index of ours.
    const pattern = `${keys.membersStem.replace(/[*?[\]\\]/g, '\\$&')}*`;
    for (const node of nodesOf(connection)) {
      const place = `keys ${node.options.host}:${node.options.port}`;
      places[place] = await walk((cursor) => node.scan(cursor, 'MATCH', pattern, 'COUNT', SCAN_COUNT, 'TYPE', 'set'), places[place], signal, async (found) => {
        for (const key of found) await this.#reconcileSet(key.slice(keys.membersStem.length), seen, total, signal);
      });
    }
    await connection.hset(keys.reconciled, places);
    return total;
  }

  async #reconcileSet(home: string, seen: Set<string>, total: Reconciled, signal: AbortSignal) {
    if (seen.has(home)) return;
    const { connection, keys } = this.store;
    let members = 0;
    try {
      await walk((cursor) => connection.sscan(keys.members(home), cursor, 'COUNT', RECONCILE_BATCH), '0', signal, async (ids) => {
        members += ids.length;
        await this.#reconcileMembers(home, ids, total);
      });
      // Asked with no members, the script only looks whether the group is empty.
      if (members === 0) await this.#reconcileBatch(home, [], total);
    } catch (error) {
      if (!isReplyError(error)) throw error; // not a Set: whoever is leased there writes it anew
    }
    if (!signal.aborted) seen.add(home);
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

/**
 * The pages of a SCAN of any kind, from this cursor on, with a pause after each. Resolves to the cursor from which to go on, '0'
 * when it came to the end; what was given last may be given again then.
 */
async function walk(scan: (cursor: string) => Promise<[cursor: string, items: string[]]>, from = '0', signal: AbortSignal, take: (items: string[]) => Promise<void>) {
  let cursor = from;
  while (!signal.aborted) {
    const [next, items] = await scan(cursor);
    if (items.length > 0) await take(items);
    if (signal.aborted && items.length > 0) break;
    cursor = next;
    if (cursor === '0') break;
    await sleep(PAUSE_MS);
  }
  return cursor;
}

/** SCAN answers for one node: in Cluster every primary is asked. */
const nodesOf = (connection: Connection) => ('nodes' in connection ? connection.nodes('master') : [connection]);
