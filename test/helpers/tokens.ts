import { parseTokens, type Token } from '../../src/http/auth/tokens.js';

interface TokenEntry {
  name: string;
  verbs: string[];
  types?: string[];
  groups?: string[];
  locks?: string[];
}

/** Tokens whose secret is `secret-of-<name>`, read as the tokens file is. */
export const tokensOf = (...entries: TokenEntry[]): Token[] =>
  parseTokens(JSON.stringify(entries.map((entry) => ({ ...entry, token: secretOf(entry.name) }))));

export const secretOf = (name: string) => `secret-of-${name}`;
