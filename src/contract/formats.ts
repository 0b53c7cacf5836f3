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

/** Containers within a value, itself included. A number that JSON cannot write (1e999 is read as Infinity) is too deep by itself. */
function depthOf(value: unknown, limit: number): number {
  if (typeof value === 'number' && !Number.isFinite(value)) return Infinity;
  if (typeof value !== 'object' || value === null) return 0;
  if (limit === 0) return 1; // deep enough to be refused: a hostile body does not make us recurse
  let deepest = 0;
  for (const key in value) deepest = Math.max(deepest, depthOf((value as Record<string, unknown>)[key], limit - 1));
  return 1 + deepest;
}

/** Deeper than the schema allows, and refused as such: JSON.stringify would run out of stack on it. */
const MAX_STRINGIFIED_DEPTH = 64;
const utf8 = new TextEncoder();
/** A letter of a JavaScript text takes at most three bytes of UTF-8: most texts need no count. */
const isWithin = (text: string, maxBytes: number) => 3 * text.length <= maxBytes || (text.length <= maxBytes && utf8.encode(text).length <= maxBytes);

/** The rules of our schemas that JSON Schema does not know, by their keywords: how deep an object of the caller's own making may be, and how long as JSON. */
export const jsonRules = {
  'x-max-depth': (max: number, value: unknown) => depthOf(value, max) <= max,
  'x-max-bytes': (max: number, value: unknown) => depthOf(value, MAX_STRINGIFIED_DEPTH) > MAX_STRINGIFIED_DEPTH || isWithin(JSON.stringify(value), max),
};

export const formatRules: Record<keyof typeof formats, string> = {
  text: 'must be text without control characters',
  ip: 'must be an IPv4 or IPv6 address, such as 203.0.113.7, and not the unspecified one',
  host: HOST_RULE,
};
