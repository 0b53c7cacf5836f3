import { createHmac, timingSafeEqual } from 'node:crypto';
import type { Token, TokenStore } from './tokens.js';

export const SESSION_COOKIE = 'rollcall_session';
export const LIFETIME_SECONDS = 12 * 3600;

/** By so much the clocks of replicas may differ. */
const CLOCKS_DIFFER_SECONDS = 60;
/** Name, expiry, signature and two dots. */
const MAX_LENGTH = 63 + 12 + 43 + 2;

/** What all replicas sign with; undefined while it has never been read. */
export type SessionSecret = () => Buffer | undefined;

/** Signature and expiry hold no dot, so all that stands before them is the name. */
const SESSION = /^(.+)\.(\d{1,12})\.[\w-]{43}$/;

/**
 * `<token's name>.<expiry in seconds>.<signature>`. Its key is made of the replicas' secret and the token's digest: the digest alone, which
 * a file of tokens shows to whoever reads it, makes no session, and one ends with its token.
 */
export function signSession({ name, sha256 }: Token, expirySeconds: number | string, secret: Buffer): string {
  const claim = `${name}.${expirySeconds}`;
  const key = createHmac('sha256', secret).update(sha256).digest();
  return `${claim}.${createHmac('sha256', key).update(`rollcall-session:${claim}`).digest('base64url')}`;
}

/** A browser sends one for each path and domain that set it. More are no browser's, and checking them costs us more than sending them. */
const MAX_SESSIONS = 4;
const PAIR = /(?:^|;)\s*rollcall_session\s*=([^;]*)/g;

/** What the header gives for our cookie. One pass over it: splitting a hostile one into its pairs takes 30 times as long. */
const sessionsIn = (header: string) =>
  [...header.matchAll(PAIR)].slice(0, MAX_SESSIONS).map(([, value = '']) => value.trim().replace(/^"(.*)"$/, '$1'));

function tokenOfSession(session: string, tokens: TokenStore, secret: Buffer): Token | undefined {
  if (session.length > MAX_LENGTH) return undefined;
  const [, name, expiry] = SESSION.exec(session) ?? [];
  if (name === undefined || expiry === undefined) return undefined;
  const left = Number(expiry) - Date.now() / 1000;
  if (left <= 0 || left > LIFETIME_SECONDS + CLOCKS_DIFFER_SECONDS) return undefined;
  const given = Buffer.from(session);
  return tokens.named(name).findLast((token) => timingSafeEqual(given, Buffer.from(signSession(token, expiry, secret))));
}

/**
 * The token that this Cookie header's session was made from, if it is in force still: a session ends with its token. Where one of
 * the list and one of the file share a name, the signature says which is meant.
 *
 * The expiry is read by this process's clock. That is fine here: it decides no lease, replicas that differ by seconds only
 * end a session of hours by seconds apart, and signing in again mends it.
 */
export function findSession(header: string, tokens: TokenStore, secret: Buffer | undefined): Token | undefined {
  if (!secret) return undefined;
  for (const session of sessionsIn(header)) {
    const token = tokenOfSession(session, tokens, secret);
    if (token) return token;
  }
  return undefined;
}
