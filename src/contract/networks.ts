import ipaddr from 'ipaddr.js';

export type Network = [ipaddr.IPv4 | ipaddr.IPv6, number];

/** @throws {Error} for what is neither an address nor a CIDR. */
export const parseNetwork = (text: string): Network => {
  const [address, bits] = text.includes('/') ? ipaddr.parseCIDR(text) : [ipaddr.parse(text), ipaddr.IPv4.isValid(text) ? 32 : 128];
  // Addresses are judged in their plain form, so a network of mapped ones is one of IPv4.
  return address instanceof ipaddr.IPv6 && address.isIPv4MappedAddress() && bits >= 96 ? [address.toIPv4Address(), bits - 96] : [address, bits];
};

/** Whether an address lies in one of these. */
export const within = (address: ipaddr.IPv4 | ipaddr.IPv6, networks: Network[]) =>
  networks.some(([network, bits]) => network.kind() === address.kind() && address.match(network, bits));

/** The same of an address as text. An IPv4 address that is written as an IPv6 one is taken for what it is; what is none lies nowhere. */
export const isWithin = (address: string, networks: Network[]) => ipaddr.isValid(address) && within(ipaddr.process(address), networks);
