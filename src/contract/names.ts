import { Type, type TSchema } from 'typebox';

/** Names that become part of a Redis key: no colon, brace, NUL or wildcard can reach a key name. */
export const NAME_PATTERN = '^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$';
/** A label's key: a name that may also hold slashes, as in `app.example.com/tier`. */
export const LABEL_KEY_PATTERN = '^[A-Za-z0-9][A-Za-z0-9._/-]{0,62}$';

const HOST_LABEL = '[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?';
/** What a validator that does not know our formats can tell of a host name or an address. */
export const HOST_PATTERN = `^${HOST_LABEL}(?:\\.${HOST_LABEL})*$|^[0-9A-Fa-f:.]{2,45}$`;
export const HOST_RULE = 'must be a host name (letters, digits, hyphens, underscores and dots) or an IP address, without scheme or port';

export const AFTER_PATTERN = '^[A-Za-z0-9][A-Za-z0-9._-]{0,62}(:[A-Za-z0-9][A-Za-z0-9._-]{0,62}){2}$';
export const PROTOCOL_PATTERN = '^[a-z][a-z0-9+.-]{0,15}$';
export const PATH_PATTERN = '^/[!-~]*$';

const NAME_RULE = 'must be 1 to 63 letters, digits, dots, underscores or hyphens, the first a letter or digit';
/** What the patterns of the schemas mean, in words. */
export const patternRules: Record<string, string> = {
  [NAME_PATTERN]: NAME_RULE,
  [LABEL_KEY_PATTERN]: `${NAME_RULE}, or slashes`,
  [HOST_PATTERN]: HOST_RULE,
  [AFTER_PATTERN]: 'must be the `next` of the page before',
  [PROTOCOL_PATTERN]: 'must be a protocol in lower case, such as tcp or udp, of at most 16 letters, digits, + . -',
  [PATH_PATTERN]: 'must be a path that begins with a slash, without spaces',
};

export const Name = (description: string, example: string) =>
  Type.String({ pattern: NAME_PATTERN, description, examples: [example] });

export const InstanceId = Name('Id of the instance; a ULID unless the caller brought its own', '01JD3V6C8Q4W9X2Z5T7B1N0M3K');
export const Incarnation = Name(
  "One process's life. Repeat it in retries; another value means another process",
  '01JD3V6C8QHF6Y0R2S4T8V1W3X',
);
export const TypeName = Name('What kind of server it is', 'game');
export const GroupName = Name('Where it belongs, such as a region', 'kr-1');

export const Revision = Type.String({
  maxLength: 96,
  description: 'Opaque position in the log of changes: `<epoch>.<entry id>`',
  examples: ['1763683200123x2864434397.1763683261450-1823091821'],
});

/** How many milliseconds may pass until the next heartbeat. */
export const IntervalMs = (description: string) => Type.Integer({ minimum: 1, description, examples: [10_000] });

export const Timestamp = (description: string) =>
  Type.String({ description: `${description}; ISO 8601, Redis time`, examples: ['2026-11-21T00:16:40.123Z'] });

/**
 * Some of a closed list, separated by commas. Validated as text; in the document it is an array with `explode: false`, which is the same
 * on the wire and lets generators type it (http/parameters.ts).
 */
export function CommaList(values: readonly string[], maxLength: number, description: string) {
  const pattern = `^(${values.join('|')})(,(${values.join('|')}))*$`;
  patternRules[pattern] = `must be some of ${values.join(', ')}, separated by commas`;
  return Type.String({ pattern, maxLength, description, 'x-list-of': [...values] });
}

/** Without its example: Swagger UI would send that for a parameter one may leave out. */
export function blank<T extends TSchema>(schema: T): T {
  const { examples: _examples, ...rest } = schema as T & { examples?: unknown };
  return rest as unknown as T;
}
