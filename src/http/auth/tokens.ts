import { hash, timingSafeEqual } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import type { Logger } from 'pino';
import type { Scope } from '../../registry/scope.js';

export const TOKEN_VERBS = ['read', 'write', 'admin'] as const;
export type TokenVerb = (typeof TOKEN_VERBS)[number];

export interface Token {
  /** Stands in the events and logs that this token causes. */
  name: string;
  sha256: Buffer;
  /** Short enough to be guessed. */
  weak?: boolean;
  verbs: Set<TokenVerb>;
  scope?: Scope;
  /** Of locks: `*` stands for any run of characters. Absent means all, or none for a token that is limited to types or groups. */
  locks?: string[];
}

const digest = (secret: string) => hash('sha256', secret, 'buffer');
const isWeak = (secret: string) => secret.length < 16;
const PRINTABLE = /^[!-~]{1,512}$/;
const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/;
const PATTERN = /^[A-Za-z0-9._*-]{1,63}$/;

/** Full-access tokens of a comma-separated list, named token-1, token-2 … @throws {Error} without the token in it. */
export function tokensFromList(text: string): Token[] {
  return text.split(',').map((secret, i) => {
    const trimmed = secret.trim();
    if (!PRINTABLE.test(trimmed)) throw new Error(`must be a comma-separated list of printable tokens without spaces; number ${i + 1} is not`);
    return { name: `token-${i + 1}`, sha256: digest(trimmed), weak: isWeak(trimmed), verbs: new Set(TOKEN_VERBS) };
  });
}

/**
 * Tokens of the JSON file `API_TOKENS_FILE`: an array of `{ name, token | sha256, verbs, types?, groups?, locks? }`.
 * @throws {Error} naming the entry and the rule, never a secret.
 */
export function parseTokens(text: string): Token[] {
  let entries: unknown;
  try {
    entries = JSON.parse(text);
  } catch (error) {
    const [, at] = / at position (\d+)/.exec((error as Error).message) ?? []; // the parser's own message would quote a part of the file
    const lines = text.slice(0, Number(at)).split('\n');
    const where = at === undefined ? 'a comma too many, or it ends too early' : `see line ${lines.length}, column ${(lines.at(-1) as string).length + 1}`;
    throw new Error(`is not JSON: ${where}`, { cause: error });
  }
  if (!Array.isArray(entries) || entries.length === 0) throw new Error('must hold an array of at least one { name, token or sha256, verbs, types?, groups? }');
  const tokens = entries.map(parseToken);
  const names = tokens.map(({ name }) => name);
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  if (twice !== undefined) throw new Error(`names two tokens '${twice}'`);
  return tokens;
}

const KNOWN = ['name', 'token', 'sha256', 'verbs', 'types', 'groups', 'locks'];

function parseToken(entry: unknown, i: number): Token {
  const refuse = (rule: string): never => {
    throw new Error(`entry ${i + 1}: ${rule}`);
  };
  if (typeof entry !== 'object' || entry === null) return refuse('must be an object');
  const { name, token, sha256, verbs, types, groups, locks } = entry as Record<string, unknown>;
  const unknown = Object.keys(entry).find((key) => !KNOWN.includes(key));
  if (unknown !== undefined) return refuse(`has an unknown field '${unknown}'`);
  if (typeof name !== 'string' || !NAME.test(name)) return refuse('name must be letters, digits, . _ -');
  if ((token === undefined) === (sha256 === undefined)) return refuse('needs either token or sha256');
  if (token !== undefined && (typeof token !== 'string' || !PRINTABLE.test(token))) return refuse('token must be printable, without spaces');
  if (sha256 !== undefined && (typeof sha256 !== 'string' || !/^[0-9a-f]{64}$/i.test(sha256))) return refuse('sha256 must be 64 hex digits');
  const isVerb = (verb: unknown): verb is TokenVerb => TOKEN_VERBS.includes(verb as TokenVerb);
  if (!Array.isArray(verbs) || verbs.length === 0 || !verbs.every(isVerb)) return refuse('verbs must list some of read, write, admin');
  const isPatterns = (list: unknown): list is string[] | undefined =>
    list === undefined || (Array.isArray(list) && list.every((item) => typeof item === 'string' && PATTERN.test(item)));
  if (!isPatterns(types) || !isPatterns(groups) || !isPatterns(locks)) return refuse('types, groups and locks must be lists of names, with * for any run of characters');
  return {
    name,
    sha256: typeof token === 'string' ? digest(token) : Buffer.from(sha256 as string, 'hex'),
    weak: typeof token === 'string' && isWeak(token),
    verbs: new Set(verbs),
    ...(locks && { locks }),
    ...((types ?? groups) && { scope: { ...(types && { types }), ...(groups && { groups }) } }),
  };
}

const REREAD_MS = 1000;

/** The tokens in force: those of the environment, and those of a file that is read again when it changes. */
export class TokenStore {
  #fromFile: Token[] = [];
  /**
   * Good secrets that were sent before: a digest for every request was a twentieth of the gateway's work. A hash table compares
   * letters only where the seeded hash of the whole is equal, so time tells nothing of a secret here either.
   */
  readonly #known = new Map<string, Token>();
  #seen = '';
  #timer: NodeJS.Timeout | undefined;

  constructor(
    private readonly fixed: Token[],
    private readonly file?: string,
    private readonly log?: Logger,
  ) {
    this.#warnOfWeak(fixed);
    if (file === undefined) return;
    this.#reread();
    this.#timer = setInterval(() => this.#reread(), REREAD_MS).unref();
  }

  /** The token of this secret. */
  find(secret: string): Token | undefined {
    let token = this.#known.get(secret);
    if (!token && (token = this.#search(secret))) this.#known.set(secret, token);
    return token;
  }

  /** Compares digests with every token to the end, so time tells nothing of which one a secret is like. */
  #search(secret: string): Token | undefined {
    const candidate = digest(secret);
    let match: Token | undefined;
    for (const token of this.fixed) if (timingSafeEqual(candidate, token.sha256)) match = token;
    for (const token of this.#fromFile) if (timingSafeEqual(candidate, token.sha256)) match = token;
    return match;
  }

  /** Those of this name: names are unique within the list and within the file, not across both. In the order of `find`, where the last one counts. */
  named(name: string): Token[] {
    return [...this.fixed, ...this.#fromFile].filter((token) => token.name === name);
  }

  close() {
    clearInterval(this.#timer);
  }

  #warnOfWeak(tokens: Token[]) {
    const names = tokens.filter(({ weak }) => weak).map(({ name }) => name);
    if (names.length > 0) this.log?.warn({ tokens: names }, 'tokens of fewer than 16 characters can be guessed: use openssl rand -hex 24');
  }

  /** A file that cannot be used leaves the tokens as they were: a half-written one must not lock everybody out. */
  #reread() {
    const file = this.file as string;
    try {
      const { mtimeMs, size, ino } = statSync(file);
      const state = `${mtimeMs}-${size}-${ino}`;
      if (state === this.#seen) return;
      this.#fromFile = parseTokens(readFileSync(file, 'utf8'));
      this.#known.clear();
      this.#seen = state;
      this.log?.info({ tokens: this.#fromFile.map(({ name }) => name) }, 'tokens read');
      this.#warnOfWeak(this.#fromFile);
    } catch (error) {
      const state = (error as Error).message;
      if (state !== this.#seen) this.log?.error({ err: { message: state } }, 'API_TOKENS_FILE not usable: the tokens stay as they were');
      this.#seen = state;
    }
  }
}
