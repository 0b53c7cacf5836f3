import type { FastifyRequest } from 'fastify';
import { isAddress } from '../contract/index.js';
import { plainAddress } from '../registry/registration.js';

/** The address a request came from: behind trusted proxies what they say, unless that is no address; else the socket's. */
export function observedIp(request: FastifyRequest): string | undefined {
  for (const candidate of [request.ip, request.socket.remoteAddress]) {
    const address = candidate?.replace(/%.*$/, '');
    if (address !== undefined && isAddress(address)) return plainAddress(address);
  }
  return undefined;
}
