import { Catalog, type CatalogOptions } from './catalog/catalog.js';
import { Client } from './verbs/client.js';
import { httpBackend } from './http/http-backend.js';
import { Transport } from './http/transport.js';
import { redisBackend } from './direct/redis-backend.js';
import { RollcallError } from './base/errors.js';
import { settingsOf, type ClientOptions } from './base/options.js';
import { Session } from './session/session.js';
import type { JoinOptions } from './session/session-options.js';

export { Catalog, type CatalogEvents, type CatalogOptions, type PickOptions } from './catalog/catalog.js';
export { Client, type BeatOptions, type DiscoverOptions, type ListQuery } from './verbs/client.js';
export { RollcallError, type ErrorCode, type ErrorDetails } from './base/errors.js';
export type { ClientLog, ClientOptions } from './base/options.js';
export { Session } from './session/session.js';
export type { JoinOptions, SessionEvents, SessionState } from './session/session-options.js';
export type { Lock, LockOptions } from './verbs/lock.js';
export type { Strategy } from './catalog/pick.js';

/**
 * A client of the registry. In mode `redis` it connects with its first call.
 * @throws {RollcallError} invalid_request, which names the option that is wrong.
 */
export function createClient(options: ClientOptions = {}): Client {
  const settings = settingsOf(options);
  const { baseURLs, apiToken: token, timeoutMs, fetch } = settings;
  const backend = settings.mode === 'redis' ? redisBackend(settings) : httpBackend(new Transport({ baseURLs, token, timeoutMs, fetch }));
  return new Client(settings, backend);
}

/**
 * Registers this process, and keeps it registered: `join({ type: 'game', group: 'kr-1', ports: [7777] })`. Returns at once; `session.registered` resolves
 * once it is listed. A gateway that is down is tried again for as long as it takes. Without a client it makes one, from `ROLLCALL_URL` and `ROLLCALL_TOKEN`.
 */
export const join = (options: JoinOptions, client: Client = createClient()): Session => new Session(client, options);

/** Follows who is there: `catalog({ type: 'chat' }).pick()`. `catalog.ready` resolves with the first list. */
export function catalog(options: CatalogOptions, client: Client = createClient()): Catalog {
  if (!options.type) throw new RollcallError('invalid_request', 'catalog: type must be given');
  return new Catalog(client, options);
}
