import { experimental } from '@grpc/grpc-js';
import { createClient, type Client } from '../client/index.js';
import { CatalogResolver } from './resolver.js';

/**
 * From then on `sd:///<type>`, `sd:///<type>/<group>` and `…?port=<name>` are addresses for grpc-js channels made in this process; they follow who registers,
 * leaves and restarts. Without a client it makes one, from `ROLLCALL_URL` and `ROLLCALL_TOKEN`.
 * @throws {RollcallError} invalid_request, which names the option that is wrong.
 */
export function registerResolver(client: Client = createClient(), scheme = 'sd'): void {
  class Resolver extends CatalogResolver {
    constructor(target: Parameters<typeof experimental.createResolver>[0], listener: experimental.ResolverListener) {
      super(client, target, listener);
    }
  }
  experimental.registerResolver(scheme, Resolver);
}
