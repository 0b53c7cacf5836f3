import { experimental, Metadata, status } from '@grpc/grpc-js';
import { catalog, type Catalog, type Client } from '../client/index.js';
import { addressOf, parseTarget, type Target } from './target.js';

type GrpcUri = Parameters<typeof experimental.createResolver>[0];

/** A call that does not wait for ready is told after so long that nobody is there to ask. */
const ANSWERED_WITHIN_MS = 5000;

/**
 * Resolver of one target, for as long as its channel lives: a catalog, each change of which is pushed to grpc-js. The interface is experimental
 * there (1.14): https://github.com/grpc/grpc-node/blob/master/packages/grpc-js/src/resolver.ts
 */
export class CatalogResolver implements experimental.Resolver {
  readonly #target: Target;
  #catalog: Catalog | undefined;
  #late: NodeJS.Timeout | undefined;
  #told = '';

  constructor(
    private readonly client: Client,
    { path }: GrpcUri,
    private readonly listener: experimental.ResolverListener,
  ) {
    this.#target = parseTarget(path);
  }

  /** Asked for at the start, and whenever a connection failed: what is known is told anew. */
  updateResolution() {
    this.#told = '';
    if (this.#catalog) return void setImmediate(() => this.#tell()); // never before this returns
    const { type, group } = this.#target;
    this.#catalog = catalog({ type, ...(group !== undefined && { group }) }, this.client);
    this.#late = setTimeout(() => this.#fail('no gateway has answered yet'), ANSWERED_WITHIN_MS);
    this.#catalog.on('change', () => this.#tell());
    void this.#catalog.ready.then(() => this.#tell(), () => undefined);
  }

  destroy() {
    clearTimeout(this.#late);
    this.#catalog?.close();
    this.#catalog = undefined;
  }

  #tell() {
    if (!this.#catalog || !this.#catalog.listed) return;
    clearTimeout(this.#late);
    const addresses = this.#catalog.candidates().flatMap((one) => addressOf(one, this.#target.port) ?? []);
    const said = JSON.stringify(addresses);
    if (said === this.#told) return;
    this.#told = said;
    // An error would leave the last list in use: nobody is a list, too.
    this.listener(experimental.statusOrFromValue(addresses.map((address) => ({ addresses: [address] }))), {}, null, addresses.length === 0 ? `${this.#name}: nobody is there` : '');
  }

  #fail(why: string) {
    this.listener(experimental.statusOrFromError({ code: status.UNAVAILABLE, details: `${this.#name}: ${why}`, metadata: new Metadata() }), {}, null, '');
  }

  get #name(): string {
    const { type, group, port } = this.#target;
    return `${type}${group === undefined ? '' : `/${group}`}${port === undefined ? '' : ` with a port '${port}'`}`;
  }

  static getDefaultAuthority({ path }: GrpcUri): string {
    return parseTarget(path).type;
  }
}
