import type { FastifyRequest } from 'fastify';
import type { Logger } from 'pino';
import { isAddress, isWithin, parseNetwork } from '../../contract/index.js';
import { plainAddress } from '../../registry/registration.js';

/**
 * The address a request came from; behind trusted proxies, what they say. Undefined when that is no address: taking the
 * proxy's own instead would register everyone under it; and when the caller has reset the connection, which has none then.
 */
export function observedIp(request: FastifyRequest): string | undefined {
  const ip = addressOf(request);
  const [, ipv6, ipv4] = /^(?:\[([^\]]+)\]|([\d.]+)):\d+$/.exec(ip) ?? []; // some proxies write the port too
  const [address = ''] = (ipv6 ?? ipv4 ?? ip).split('%'); // the zone of a link-local address
  return isAddress(address) ? plainAddress(address) : undefined;
}

/** What Fastify takes for the caller's address; '' for a connection that is gone, whatever its type says. */
export const addressOf = ({ ip }: FastifyRequest) => (ip as string | undefined) ?? '';

const IGNORED = "X-Forwarded-For is ignored: set TRUST_PROXY to the balancer's network";
const MISSING = "no X-Forwarded-For from an address of TRUST_PROXY: if it is a balancer, let it send one, or servers that name no address are registered with the balancer's";

/**
 * Says once, at a registration that names no address of its own, that a balancer in front is not trusted, or is and does not say who calls: the
 * commonest mistakes, and each registers everyone under the balancer's address.
 */
export function createForwardedWarning(trustProxy: string[], log: Logger) {
  const trusted = trustProxy.map(parseNetwork);
  let said = false;
  return ({ headers, socket: { remoteAddress = '' } }: FastifyRequest, namesAddress: boolean) => {
    if (said || namesAddress) return;
    const forwarded = headers['x-forwarded-for'] !== undefined;
    said = trustProxy.length > 0 ? !forwarded && isWithin(remoteAddress, trusted) : forwarded;
    if (said) log.warn({ from: remoteAddress }, forwarded ? IGNORED : MISSING);
  };
}
