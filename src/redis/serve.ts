import type { Home } from '../registry/home.js';
import { ReplicaRegistry } from '../registry/served/replica-registry.js';
import type { View } from '../registry/view/view.js';
import { catchUpWith } from './catch-up.js';
import { inTime } from './connect/deadline.js';
import { giveBack } from './recovery/restore-on-demand.js';
import { LookBack } from './log/history.js';
import { RedisRegistrar } from './redis-registrar.js';
import { storeUnavailable } from './connect/store-error.js';
import type { Store } from './scripts/store.js';

/** What a replica serves of a store: reads from this view, writes by scripts. `past` looks back, on a connection of its own if there is one. */
export function serve(store: Store, view: View, past = new LookBack(store)): ReplicaRegistry {
  return new ReplicaRegistry(view, new RedisRegistrar(store, (...write) => view.acknowledged(...write)), {
    catchUp: catchUpWith(store, view),
    giveBack: (missed) => giveBack(store, view, missed),
    locate: (ids) => locate(store, ids).catch((error: unknown) => Promise.reject(storeUnavailable(error))),
    history: (query) => past.page(query).catch((error: unknown) => Promise.reject(storeUnavailable(error))),
    changesAfter: (position, query) => past.changesAfter(position, query),
  });
}

async function locate({ connection, keys }: Store, ids: string[]): Promise<(Home | undefined)[]> {
  const pipeline = connection.pipeline();
  for (const id of ids) pipeline.hmget(keys.record(id), 'type', 'group');
  const replies = (await inTime(pipeline.exec())) ?? [];
  return replies.map(([error, home]) => {
    if (error) throw error;
    const [type, group] = home as [string | null, string | null];
    return type === null || group === null ? undefined : { type, group };
  });
}
