import ipaddr from 'ipaddr.js';
import type { Port, Registration } from '../contract/index.js';
import { isAddress } from '../contract/index.js';
import { invalidField } from './errors.js';
import { mintId } from './ids.js';
import type { CompleteRegistration } from './registry.js';

export interface LeaseLimits {
  defaultSeconds: number;
  minSeconds: number;
  maxSeconds: number;
}

/** An address in its plain form: IPv4-mapped IPv6 (`::ffff:10.0.0.1`) is written as IPv4. */
export const plainAddress = (address: string) =>
  address.includes(':') && isAddress(address) ? ipaddr.process(address).toString() : address;

const OWN_NETWORK = new Set(['private', 'loopback', 'uniqueLocal']);
const fields = new Map<string, 'privateIp' | 'publicIp'>();
const MAX_REMEMBERED = 10_000;

/** Which field an observed address belongs in: one's own network, or the world. Remembered: few callers, many calls. */
function fieldFor(address: string) {
  let field = fields.get(address);
  if (!field) {
    field = OWN_NETWORK.has(ipaddr.process(address).range()) ? 'privateIp' : 'publicIp';
    if (fields.size === MAX_REMEMBERED) fields.clear();
    fields.set(address, field);
  }
  return field;
}

/**
 * Fills what a caller left open: ids, defaults, and the address that it was seen with.
 * @throws {RegistryError} invalid_request for what a schema cannot say: port names used twice, a ttl out of bounds.
 */
export function completeRegistration(
  registration: Registration,
  lease: LeaseLimits,
  observedIp: string | undefined,
): CompleteRegistration {
  const { publicIp, privateIp, ports = [], ttlSeconds = lease.defaultSeconds } = registration;
  if (ttlSeconds < lease.minSeconds || ttlSeconds > lease.maxSeconds) {
    throw invalidField('/ttlSeconds', `must be from ${lease.minSeconds} to ${lease.maxSeconds}`);
  }
  const addresses = {
    ...(observedIp !== undefined && { [fieldFor(observedIp)]: observedIp }),
    ...(publicIp !== undefined && { publicIp: plainAddress(publicIp) }),
    ...(privateIp !== undefined && { privateIp: plainAddress(privateIp) }),
  };
  return {
    ...registration,
    ...addresses,
    instanceId: registration.instanceId ?? mintId(),
    incarnation: registration.incarnation ?? mintId(),
    group: registration.group ?? 'default',
    status: registration.status ?? 'ready',
    ports: completePorts(ports),
    ttlSeconds,
  };
}

type PortObject = Exclude<NonNullable<Registration['ports']>[number], number>;

function completePorts(ports: NonNullable<Registration['ports']>): Port[] {
  const names = new Set<string>();
  return ports.map((given, i) => {
    const port: PortObject = typeof given === 'number' ? { port: given } : given;
    if (port.name !== undefined && names.has(port.name)) throw invalidField(`/ports/${i}/name`, `is used twice: '${port.name}'`);
    if (port.name !== undefined) names.add(port.name);
    const { port: number, name, protocol = 'tcp' } = port;
    return { port: number, ...(name !== undefined && { name }), protocol };
  });
}
