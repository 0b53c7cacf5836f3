import { RegistryError } from '../../registry/errors.js';

const MAX_WAIT_SECONDS = 60;
/** A wait is up to this part shorter than asked for, so that clients who began together do not all come back together. */
const WAIT_SPREAD = 0.1;

/**
 * Whether a caller who sent this `If-None-Match` has a content already: one tag, a list, or `*` for whatever there is at
 * the first look. Tags are compared weakly (RFC 9110 section 13.1.2).
 */
export function knownTo(header: string): (etag: string) => boolean {
  if (header.trim() === '*') {
    let first: string | undefined;
    return (etag) => (first ??= etag) === etag;
  }
  const opaque = (etag: string) => etag.trim().replace(/^W\//, '');
  const tags = header.split(',').map(opaque); // none of ours holds a comma
  return (etag) => header === etag || tags.includes(opaque(etag));
}

/** The parts of a header between separators that are not quoted, in one pass: a regular expression for it can go back and forth over blanks. */
function partsOf(header: string, separator: string): string[] {
  const parts: string[] = [];
  let from = 0;
  let quoted = false;
  for (let i = 0; i < header.length; i++) {
    const letter = header[i];
    if (letter === '"') quoted = !quoted;
    else if (letter === '\\' && quoted) i++;
    else if (letter === separator && !quoted) {
      parts.push(header.slice(from, i));
      from = i + 1;
    }
  }
  parts.push(header.slice(from));
  return parts;
}

const unquoted = (value: string) => (value.length > 1 && value.startsWith('"') && value.endsWith('"') ? value.slice(1, -1) : value);

/**
 * How long a `Prefer: wait=N` lets us wait, in whole seconds of at most 60; undefined without one. Other preferences are not
 * ours and are ignored (RFC 7240 section 2).
 * @throws {RegistryError} invalid_request when N is not a whole number.
 */
export function preferredWait(header: string | string[] | undefined): number | undefined {
  for (const preference of partsOf([header ?? []].flat().join(','), ',')) {
    const [pair = ''] = partsOf(preference, ';');
    const [name = '', ...value] = pair.split('=');
    if (name.trim().toLowerCase() !== 'wait') continue;
    const seconds = unquoted(value.join('=').trim()).trim();
    if (!/^\d{1,9}$/.test(seconds)) {
      const detail = 'must say wait=N with a whole number of seconds (RFC 7240 section 4.3)';
      throw new RegistryError('invalid_request', `Prefer ${detail}`, { errors: [{ pointer: 'Prefer', detail }] });
    }
    return Math.min(Number(seconds), MAX_WAIT_SECONDS);
  }
  return undefined;
}

export const spreadMs = (seconds: number) => seconds * 1000 * (1 - WAIT_SPREAD * Math.random());
