import type { FastifyRequest } from 'fastify';
import type { Logger } from 'pino';
import { isAddress } from '../contract/index.js';
import { plainAddress } from '../registry/registration.js';

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

/** Says once that a balancer in front is not trusted: it is the commonest mistake, and registers everyone under its address. */
export function createForwardedWarning(trustsProxies: boolean, log: Logger) {
  let said = trustsProxies;
  return ({ headers, socket }: FastifyRequest) => {
    if (said || headers['x-forwarded-for'] === undefined) return;
    said = true;
    log.warn({ from: socket.remoteAddress }, "X-Forwarded-For is ignored: set TRUST_PROXY to the balancer's network");
  };
}
