import ipaddr from 'ipaddr.js';

export type Network = [ipaddr.IPv4 | ipaddr.IPv6, number];

/** @throws {Error} for what is neither an address nor a CIDR. */
export const parseNetwork = (text: string): Network => {
  if (text.includes('/')) return ipaddr.parseCIDR(text);
  const address = ipaddr.parse(text);
  return [address, address.kind() === 'ipv4' ? 32 : 128];
};

/**
 * Whether a probe may connect there. Link-local is never allowed, whatever the list says: 169.254.169.254 is where clouds
 * keep credentials. IPv4 dressed as IPv6 is judged as IPv4.
 */
export function mayProbe(address: string, networks: Network[]): boolean {
  const parsed = ipaddr.process(address);
  if (parsed.range() === 'linkLocal') return false;
  return networks.some(([network, bits]) => network.kind() === parsed.kind() && parsed.match(network, bits));
}
