import ipaddr from 'ipaddr.js';
import { parseNetwork, within, type Network } from '../contract/index.js';

/** Never, whatever the list says: where clouds keep credentials (169.254.169.254), and IPv6 forms that hide an IPv4 address. */
const NEVER = new Set(['unspecified', 'broadcast', 'multicast', 'linkLocal', 'rfc6052', 'rfc6145', '6to4', 'teredo']);
/** Those of Alibaba, Azure, Oracle, AWS and Google that are not link-local. */
const METADATA = ['100.100.100.200', '168.63.129.16', '192.0.0.192', 'fd00:ec2::/32', 'fd20:ce::254'].map(parseNetwork);

/** Whether a probe may connect there. IPv4-mapped IPv6 is judged as IPv4. */
export function mayProbe(address: string, networks: Network[]): boolean {
  const parsed = ipaddr.process(address);
  return !NEVER.has(parsed.range()) && !within(parsed, METADATA) && within(parsed, networks);
}
