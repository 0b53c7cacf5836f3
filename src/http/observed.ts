import type { FastifyRequest } from 'fastify';
import type { Logger } from 'pino';
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

/** Says once that a balancer in front is not trusted: it is the commonest mistake, and registers everyone under its address. */
export function createForwardedWarning(trustsProxies: boolean, log: Logger) {
  let said = trustsProxies;
  return ({ headers, socket }: FastifyRequest) => {
    if (said || headers['x-forwarded-for'] === undefined) return;
    said = true;
    log.warn({ from: socket.remoteAddress }, "X-Forwarded-For is ignored: set TRUST_PROXY to the balancer's network");
  };
}
