import ipaddr from 'ipaddr.js';

export type Network = [ipaddr.IPv4 | ipaddr.IPv6, number];

/** @throws {Error} for what is neither an address nor a CIDR. */
export const parseNetwork = (text: string): Network => {
  if (text.includes('/')) return ipaddr.parseCIDR(text);
  const address = ipaddr.parse(text);
  return [address, address.kind() === 'ipv4' ? 32 : 128];
};

/** Never, whatever the list says: where clouds keep credentials (169.254.169.254), and IPv6 forms that hide an IPv4 address. */
const NEVER = new Set(['unspecified', 'broadcast', 'multicast', 'linkLocal', 'rfc6052', 'rfc6145', '6to4', 'teredo']);
const CLOUD_METADATA = ipaddr.parseCIDR('fd00:ec2::/32');

/** Whether a probe may connect there. IPv4-mapped IPv6 is judged as IPv4. */
export function mayProbe(address: string, networks: Network[]): boolean {
  const parsed = ipaddr.process(address);
  if (NEVER.has(parsed.range()) || (parsed.kind() === 'ipv6' && parsed.match(CLOUD_METADATA))) return false;
  return networks.some(([network, bits]) => network.kind() === parsed.kind() && parsed.match(network, bits));
}
