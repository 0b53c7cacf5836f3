import type { FastifyRequest } from 'fastify';
import { isAddress } from '../contract/index.js';
import { plainAddress } from '../registry/registration.js';

/**
 * The address a request came from; behind trusted proxies, what they say. Undefined when that is no address: taking the
 * proxy's own instead would register everyone under it.
 */
export function observedIp({ ip }: FastifyRequest): string | undefined {
  const [, ipv6, ipv4] = /^(?:\[([^\]]+)\]|([\d.]+)):\d+$/.exec(ip) ?? []; // some proxies write the port too
  const [address = ''] = (ipv6 ?? ipv4 ?? ip).split('%'); // the zone of a link-local address
  return isAddress(address) ? plainAddress(address) : undefined;
}
