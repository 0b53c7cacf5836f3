import ipaddr from 'ipaddr.js';
import { HOST_RULE } from './names.js';

/** Letters that no person typed: control characters, and halves of surrogate pairs, which are not text in UTF-8. */
function isText(value: string): boolean {
  return value.isWellFormed() && !/[\u0000-\u001f\u007f]/.test(value);
}

const IPV4 = /^(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)(?:\.(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)){3}$/;

/** An IPv4 or IPv6 literal in its plain form: no zone, no octal, no short form, not the unspecified address. */
export function isAddress(value: string): boolean {
  if (value.length > 45) return false;
  if (IPV4.test(value)) return value !== '0.0.0.0';
  if (value.includes('%') || !value.includes(':') || !ipaddr.IPv6.isValid(value)) return false;
  const address = ipaddr.process(value);
  return address.range() !== 'unspecified';
}

const LABEL = /^[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?$/;

/**
 * A host name by RFC 1123 section 2.1 (its last label is not all digits: that would be a broken address), or an address. Underscores
 * are taken too: names of Windows machines and of Compose hold them.
 */
export function isHost(value: string): boolean {
  if (isAddress(value)) return true;
  if (value.length > 253) return false;
  const labels = value.split('.');
  return labels.every((label) => LABEL.test(label)) && !/^\d+$/.test(labels.at(-1) ?? '');
}

/** The formats named in the schemas of this folder, for whichever validator compiles them. */
export const formats = { text: isText, ip: isAddress, host: isHost };

export const formatRules: Record<keyof typeof formats, string> = {
  text: 'must be text without control characters',
  ip: 'must be an IPv4 or IPv6 address, such as 203.0.113.7, and not the unspecified one',
  host: HOST_RULE,
};
