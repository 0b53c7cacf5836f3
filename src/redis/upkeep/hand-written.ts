import { formats, isAddress, isHost, LABEL_KEY_PATTERN, MAX_LABELS, MAX_PORTS, NAME_PATTERN, PROTOCOL_PATTERN } from '../../contract/index.js';
import type { CompleteRegistration } from '../../registry/registry.js';
import { decodeInstance } from '../scripts/codec.js';

const NAME = new RegExp(NAME_PATTERN);
const PROTOCOL = new RegExp(PROTOCOL_PATTERN);
const LABEL_KEY = new RegExp(LABEL_KEY_PATTERN);

const text = (value: string | undefined) => (value !== undefined && value.length <= 256 && formats.text(value) ? value : undefined);
const address = (value: string | undefined) => (value !== undefined && isAddress(value) ? value : undefined);
const small = (value: Record<string, unknown> | undefined, maxBytes: number) =>
  value && Buffer.byteLength(JSON.stringify(value)) <= maxBytes ? value : undefined;

export const isName = (value: string | undefined): value is string => value !== undefined && NAME.test(value);

type Adoptable = Omit<CompleteRegistration, 'instanceId' | 'type' | 'group' | 'incarnation' | 'ttlSeconds'>;

/**
 * The fields of a face that somebody wrote by hand, made fit to register. Whatever the API would refuse is dropped, and a
 * missing host name is made up from an address or the id, so that the record is as good as any other.
 */
export function adoptable(id: string, fields: Record<string, string>): Adoptable {
  const { hostname, ports, status, labels, systemInfo, performance, customState } = decodeInstance(fields);
  const [publicIp, privateIp] = [address(fields.publicIp), address(fields.privateIp)];
  const kept = {
    customState: text(customState?.slice(0, 256)),
    publicIp,
    privateIp,
    systemInfo: small(systemInfo, 8192),
    performance: small(performance, 1024),
  };
  const goodLabels = Object.entries(labels).filter(([key, value]) => LABEL_KEY.test(key) && text(value) !== undefined);
  const goodPorts = ports.filter(({ name, protocol }) => PROTOCOL.test(protocol) && (name === undefined || isName(name)));
  return {
    hostname: isHost(hostname) ? hostname : (publicIp ?? privateIp ?? id),
    ports: goodPorts.slice(0, MAX_PORTS).map(({ port, name, protocol }) => ({ port, ...(name !== undefined && { name }), protocol })),
    status,
    labels: Object.fromEntries(goodLabels.slice(0, MAX_LABELS)),
    ...Object.fromEntries(Object.entries(kept).filter(([, value]) => value !== undefined)),
  };
}
