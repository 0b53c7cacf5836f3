import { createHmac, hash } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import request from 'supertest';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { TokenStore, tokensFromList, type Token } from '../../src/http/auth/tokens.js';
import { buildGateway, caller, registration, SESSION_SECRET } from '../helpers/gateway.js';
import { expectProblem } from '../helpers/problem.js';
import { exchange } from '../helpers/raw-http.js';
import { sharedGateway } from '../helpers/shared-gateway.js';
import { secretOf, tokensOf } from '../helpers/tokens.js';
import { until } from '../helpers/until.js';
import { findSession, SESSION_COOKIE, signSession } from '../../src/http/auth/sessions.js';

const LIFETIME = 12 * 3600;
const sign = (token: Token, expiry: number | string) => signSession(token, expiry, SESSION_SECRET);
const foundBy = (header: string, tokens: TokenStore) => findSession(header, tokens, SESSION_SECRET);
const fleet = () =>
  tokensOf(
    { name: 'both', verbs: ['read', 'write'] },
    { name: 'writer', verbs: ['write'] },
    { name: 'operator', verbs: ['admin'] },
    { name: 'game-kr', verbs: ['read'], types: ['game'], groups: ['kr-*'] },
  );
const gateway = sharedGateway({ tokens: fleet(), trustProxy: ['127.0.0.0/8'] });

const nowSeconds = () => Math.floor(Date.now() / 1000);
const named = (tokens: Token[], name: string) => tokens.find((token) => token.name === name) as Token;
const cookieOf = (token: Token, expiry = nowSeconds() + 3600) => `${SESSION_COOKIE}=${sign(token, expiry)}`;
const both = () => cookieOf(named(fleet(), 'both'));

type App = ReturnType<typeof gateway>['app'];
let addresses = 0;
/** From an address of its own each: wrong sessions are counted by address, and there are many here. */
const fresh = () => `203.0.113.${addresses++ % 250}`;
const withCookie = (cookie: string, { server }: App = gateway().app) => ({
  get: (path: string) => request(server).get(path).set('X-Forwarded-For', fresh()).set('Cookie', cookie),
  head: (path: string) => request(server).head(path).set('X-Forwarded-For', fresh()).set('Cookie', cookie),
  post: (path: string) => request(server).post(path).set('X-Forwarded-For', fresh()).set('Cookie', cookie),
  patch: (path: string) => request(server).patch(path).set('X-Forwarded-For', fresh()).set('Cookie', cookie),
  delete: (path: string) => request(server).delete(path).set('X-Forwarded-For', fresh()).set('Cookie', cookie),
});

/** Signs in as a browser does, and gives what it would send from then on. */
async function signIn(name: string, { server }: App = gateway().app) {
  const { headers } = await caller(server, secretOf(name)).post('/session').expect(204);
  return (headers['set-cookie']?.[0] ?? '').split(';', 1)[0] as string;
}

describe('POST /session', () => {
  test('exchanges a token for a cookie that scripts cannot read and other sites cannot use', async () => {
    const { server } = gateway().app;
    const ways: [header: string, value: string][] = [['X-API-Token', secretOf('both')], ['Authorization', `Bearer ${secretOf('both')}`]];
    for (const [header, value] of ways) {
      const { headers, text } = await request(server).post('/sd/v1/session').set(header, value).expect(204);
      expect(text).toBe('');
      expect(headers['set-cookie']).toHaveLength(1);
      const [, expiry] = /^rollcall_session=both\.(\d+)\.[\w-]{43}; Path=\/; HttpOnly; SameSite=Strict; Max-Age=43200$/.exec(headers['set-cookie']?.[0] ?? '') ?? [];
      expect(Math.abs(Number(expiry) - LIFETIME - nowSeconds())).toBeLessThan(10);
      expect(headers['cache-control']).toBe('no-store');
    }
  });

  test('needs a token that may read, and sets no cookie without one', async () => {
    const { server } = gateway().app;
    const refused = await request(server).post('/sd/v1/session').set('X-Forwarded-For', fresh());
    expectProblem(refused, 401, 'unauthorized');
    expect(refused.headers).not.toHaveProperty('set-cookie');
    for (const name of ['writer', 'operator']) expectProblem(await caller(server, secretOf(name)).post('/session'), 403, 'forbidden');
  });

  test('takes neither a query nor a body; an empty one is fine', async () => {
    const call = caller(gateway().app.server, secretOf('both'));
    expectProblem(await call.post('/session?remember=true'), 400, 'invalid_request', '?remember');
    for (const body of [{}, { token: secretOf('both') }, [], 0, 'x']) {
      expectProblem(await call.post('/session').set('Content-Type', 'application/json').send(JSON.stringify(body)), 400, 'invalid_request');
    }
    await call.post('/session').set('Content-Type', 'application/json').expect(204);
    await call.post('/session').set('Content-Type', 'application/x-www-form-urlencoded').expect(204);
    expectProblem(await call.post('/session').set('Content-Type', 'text/plain').send('x'), 415, 'unsupported_media_type');
  });

  test('marks the cookie Secure where a trusted proxy says that the browser came by https', async () => {
    const attributes = async ({ server }: App, protocol?: string) => {
      const asking = caller(server, secretOf('both')).post('/session');
      const { headers } = await (protocol === undefined ? asking : asking.set('X-Forwarded-Proto', protocol)).expect(204);
      return (headers['set-cookie']?.[0] ?? '').split('; ');
    };
    expect(await attributes(gateway().app, 'https')).toContain('Secure');
    expect(await attributes(gateway().app, 'http')).not.toContain('Secure');
    expect(await attributes(gateway().app)).not.toContain('Secure');
    const { app } = await buildGateway({ tokens: fleet() });
    expect(await attributes(app, 'https')).not.toContain('Secure');
  });
});

describe('a session', () => {
  test('reads what its token may read', async () => {
    await caller(gateway().app.server, secretOf('both')).post('/instances').send(registration({ instanceId: 'game-1' })).expect(201);
    const browser = withCookie(await signIn('both'));
    expect((await browser.get('/sd/v1/instances').expect(200)).body.instances).toMatchObject([{ instanceId: 'game-1' }]);
    expect((await browser.get('/sd/v1/groups').expect(200)).body.groups).toMatchObject([{ group: 'kr-1' }]);
    await browser.get('/sd/v1/instances/game-1').expect(200);
    await browser.get('/metrics').expect(200);
    await browser.head('/sd/v1/groups').expect(200);
  });

  test('opens a watch, which is what it is for', async () => {
    const { port } = gateway().app.server.address() as { port: number };
    const open = async (cookie: string) => {
      const closing = new AbortController();
      onTestFinished(() => closing.abort());
      return fetch(`http://127.0.0.1:${port}/sd/v1/watch`, { headers: { cookie, 'x-forwarded-for': fresh() }, signal: closing.signal });
    };
    const { status, headers } = await open(await signIn('both'));
    expect([status, headers.get('content-type')]).toEqual([200, expect.stringMatching(/^text\/event-stream/)]);
    expect((await open(`${SESSION_COOKIE}=x`)).status).toBe(401);
  });

  test('never writes, though its token may, and makes no other session', async () => {
    const browser = withCookie(await signIn('both'));
    expectProblem(await browser.post('/sd/v1/instances').send(registration()), 401, 'unauthorized');
    expectProblem(await browser.post('/sd/v1/instances/game-1/heartbeat'), 401, 'unauthorized');
    expectProblem(await browser.post('/sd/v1/heartbeats').send([{ instanceId: 'game-1' }]), 401, 'unauthorized');
    expectProblem(await browser.patch('/sd/v1/instances/game-1').send({ status: 'error' }), 401, 'unauthorized');
    expectProblem(await browser.delete('/sd/v1/instances/game-1'), 401, 'unauthorized');
    const again = await browser.post('/sd/v1/session');
    expectProblem(again, 401, 'unauthorized');
    expect(again.headers).not.toHaveProperty('set-cookie');
  });

  test('sees only the types and groups of its token', async () => {
    const { server } = gateway().app;
    await caller(server, secretOf('both')).post('/instances').send(registration({ instanceId: 'mine' })).expect(201);
    await caller(server, secretOf('both')).post('/instances').send(registration({ instanceId: 'theirs', group: 'eu-1' })).expect(201);
    const browser = withCookie(await signIn('game-kr'));
    expect((await browser.get('/sd/v1/instances').expect(200)).body.instances).toMatchObject([{ instanceId: 'mine' }]);
    expect((await browser.get('/sd/v1/groups').expect(200)).body.groups).toHaveLength(1);
    expect((await browser.get('/sd/v1/instances/theirs')).status).not.toBe(200);
  });

  test('has the verbs of its token, no more', async () => {
    for (const name of ['writer', 'operator']) expectProblem(await withCookie(cookieOf(named(fleet(), name))).get('/sd/v1/groups'), 403, 'forbidden');
  });

  test('does not make up for a token that is sent and wrong', async () => {
    const browser = withCookie(both());
    expectProblem(await browser.get('/sd/v1/groups').set('X-API-Token', 'wrong'), 401, 'unauthorized');
    expectProblem(await browser.get('/sd/v1/groups').set('X-API-Token', ''), 401, 'unauthorized');
    for (const value of ['Bearer wrong', 'Basic dXNlcjpwdw==', 'x']) expectProblem(await browser.get('/sd/v1/groups').set('Authorization', value), 401, 'unauthorized');
    await browser.get('/sd/v1/groups').set('X-API-Token', secretOf('both')).expect(200);
  });

  test('is taken by another replica, which knows the same tokens and nothing else of it', async () => {
    const session = await signIn('both');
    const other = await buildGateway({ tokens: fleet().reverse() });
    await withCookie(session, other.app).get('/sd/v1/groups').expect(200);
    const renamed = await buildGateway({ tokens: tokensOf({ name: 'other', verbs: ['read'] }) });
    expectProblem(await withCookie(session, renamed.app).get('/sd/v1/groups'), 401, 'unauthorized');
    const replaced = fleet().map((token) => ({ ...token, sha256: named(tokensOf({ name: 'x', verbs: ['read'] }), 'x').sha256 }));
    expectProblem(await withCookie(session, (await buildGateway({ tokens: replaced })).app).get('/sd/v1/groups'), 401, 'unauthorized');
  });

  test('ends after 12 hours', async () => {
    const session = await signIn('both');
    const end = (Number(session.split('.').at(-2)) - nowSeconds()) * 1000 + Date.now();
    onTestFinished(() => void vi.useRealTimers());
    vi.useFakeTimers({ toFake: ['Date'], now: end - 5000 });
    await withCookie(session).get('/sd/v1/groups').expect(200);
    vi.setSystemTime(end + 1000);
    expectProblem(await withCookie(session).get('/sd/v1/groups'), 401, 'unauthorized');
  });

  test('counts towards the rate limit of its token', async () => {
    const { app } = await buildGateway({ rateLimitPerSecond: 5, tokens: fleet() });
    const burst = () => Promise.all(Array.from({ length: 20 }, () => caller(app.server, secretOf('both')).get('/groups')));
    // One request by cookie for each burst: it could never reach a limit of its own.
    const limited = await until(async () => {
      await burst();
      const answer = await withCookie(both(), app).get('/sd/v1/groups');
      return answer.status === 429 ? answer : undefined;
    }, 10_000, 400);
    expectProblem(limited, 429, 'rate_limited');
  });

  test('that is wrong counts as a failed authentication, while a right one goes on working', async () => {
    const { app } = await buildGateway({ tokens: fleet() });
    const wrong = cookieOf(named(fleet(), 'both'), 1);
    const limited = await until(async () => {
      const answers = await Promise.all(Array.from({ length: 60 }, () => request(app.server).get('/sd/v1/groups').set('Cookie', wrong)));
      return answers.find(({ status }) => status === 429);
    });
    expectProblem(limited, 429, 'rate_limited');
    await request(app.server).get('/sd/v1/groups').set('Cookie', both()).expect(200);
  });

  test('leaves nothing in the log that would let another in', async () => {
    const lines: string[] = [];
    const { app } = await buildGateway({ tokens: fleet(), trustProxy: ['127.0.0.0/8'], log: pino({ level: 'trace' }, { write: (line: string) => void lines.push(line) }) });
    const session = await signIn('both', app);
    const browser = withCookie(session, app);
    for (const path of ['/sd/v1/groups', '/sd/v1/instances/x', '/sd/v1/groups?x=1', '/sd/v1/nothing', '/sd/v1/%zz']) await browser.get(path);
    await browser.post('/sd/v1/instances').send(registration());
    await withCookie(`${session}x`, app).get('/sd/v1/groups').expect(401);
    await until(() => lines.length >= 7);
    expect(lines.join('')).not.toContain(session.split('.').at(-1));
    expect(lines.join('')).not.toContain(SESSION_COOKIE);
  });
});

describe('a cookie', () => {
  const good = both().slice(SESSION_COOKIE.length + 1);
  const understood = [
    `${SESSION_COOKIE}=${good}`,
    `theme=dark; ${SESSION_COOKIE}=${good}; lang=en`,
    `theme=dark;${SESSION_COOKIE}=${good};`,
    ` ${SESSION_COOKIE} = ${good} `,
    `${SESSION_COOKIE}="${good}"`,
    `a; =; ===; "; ${SESSION_COOKIE}=${good}`,
    `${SESSION_COOKIE}=of-another-path; ${SESSION_COOKIE}=${good}`,
    `${SESSION_COOKIE}=${good}; ${SESSION_COOKIE}=of-another-path`,
  ];
  test.each(understood)('is found in: %s', async (cookie) => {
    await withCookie(cookie).get('/sd/v1/groups').expect(200);
  });

  const [name = '', expiry = '', signature = ''] = good.split('.');
  const token = named(fleet(), 'both');
  const changed = signature.startsWith('A') ? `B${signature.slice(1)}` : `A${signature.slice(1)}`;
  const refused: [what: string, cookie: string][] = [
    ['no value', `${SESSION_COOKIE}=`],
    ['no sign', SESSION_COOKIE],
    ['another name', `x${SESSION_COOKIE}=${good}`],
    ['another case', `${SESSION_COOKIE.toUpperCase()}=${good}`],
    ['the token itself', `${SESSION_COOKIE}=${secretOf('both')}`],
    ['a token under the header name', `X-API-Token=${secretOf('both')}`],
    ['another name of a token', `${SESSION_COOKIE}=operator.${expiry}.${signature}`],
    ['an unknown name', `${SESSION_COOKIE}=nobody.${expiry}.${signature}`],
    ['a name of every object', `${SESSION_COOKIE}=constructor.${expiry}.${signature}`],
    ['no name', `${SESSION_COOKIE}=.${expiry}.${signature}`],
    ['a later expiry', `${SESSION_COOKIE}=${name}.${Number(expiry) + 1}.${signature}`],
    ['an expiry with zeros before it', `${SESSION_COOKIE}=${name}.0${expiry}.${signature}`],
    ['an expiry that is no number', `${SESSION_COOKIE}=${name}.Infinity.${signature}`],
    ['an expiry below zero', `${SESSION_COOKIE}=${sign(token, -1)}`],
    ['an expiry in hex, rightly signed', `${SESSION_COOKIE}=${sign(token, '0xffffffffff')}`],
    ['an expiry too long to be one', `${SESSION_COOKIE}=${sign(token, '9'.repeat(400))}`],
    ['no expiry', `${SESSION_COOKIE}=${name}..${signature}`],
    ['one that is over', `${SESSION_COOKIE}=${sign(token, nowSeconds() - 1)}`],
    ['one that is over since 1970', `${SESSION_COOKIE}=${sign(token, 0)}`],
    ['another signature', `${SESSION_COOKIE}=${name}.${expiry}.${changed}`],
    ['no signature', `${SESSION_COOKIE}=${name}.${expiry}.`],
    ['a signature cut short', `${SESSION_COOKIE}=${good.slice(0, -1)}`],
    ['a signature with more after it', `${SESSION_COOKIE}=${good}A`],
    ['a padded signature', `${SESSION_COOKIE}=${good}=`],
    ['two parts', `${SESSION_COOKIE}=${name}.${signature}`],
    ['dots only', `${SESSION_COOKIE}=${'.'.repeat(5000)}`],
    ['half a quote', `${SESSION_COOKIE}="${good}`],
    ['one quote', `${SESSION_COOKIE}="`],
    ['quotes twice', `${SESSION_COOKIE}=""${good}""`],
    ['percent signs', `${SESSION_COOKIE}=%zz%00%${good}`],
    ['letters beyond ASCII', `${SESSION_COOKIE}=\xff\xfe\xe9.${expiry}.${signature}`],
    ['letters beyond ASCII for a signature', `${SESSION_COOKIE}=${name}.${expiry}.${'\xe9'.repeat(43)}`],
    ['a right one after more wrong ones than a browser has', `${`${SESSION_COOKIE}=x;`.repeat(4)}${SESSION_COOKIE}=${good}`],
    ['a space within', `${SESSION_COOKIE}=${name}. ${expiry}.${signature}`],
    ['a very long value', `${SESSION_COOKIE}=${'a'.repeat(7000)}`],
    ['very many', `${SESSION_COOKIE}=${name}.${expiry}.${changed};`.repeat(70)],
    ['signs only', ';=;,="\\{}[]:;=='],
  ];
  test.each(refused)('with %s is 401', async (_what, cookie) => {
    const answer = await withCookie(cookie).get('/sd/v1/groups');
    expectProblem(answer, 401, 'unauthorized');
    expect(answer.body.detail).toBe((await request(gateway().app.server).get('/sd/v1/groups').set('X-Forwarded-For', fresh())).body.detail);
    await withCookie(cookie).get('/livez').expect(200);
  });

  test('may come in several headers', async () => {
    const address = gateway().app.server.address() as { port: number };
    const ask = (...lines: string[]) => exchange(address.port, `GET /sd/v1/groups HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: ${fresh()}\r\n${lines.map((line) => `Cookie: ${line}\r\n`).join('')}\r\n`);
    expect((await ask('theme=dark', `${SESSION_COOKIE}=${good}`)).status).toBe(200);
    expectProblem(await ask('theme=dark', `${SESSION_COOKIE}=`, ''), 401, 'unauthorized');
  });
});

describe('a signature', () => {
  const store = new TokenStore(fleet());
  const find = (session: string, tokens = store) => foundBy(`${SESSION_COOKIE}=${session}`, tokens)?.name;

  test('is good in one spelling only: base64url has several for the same bytes', () => {
    const good = sign(named(fleet(), 'both'), nowSeconds() + 60);
    const letters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_+/';
    expect([...letters].map((letter) => good.slice(0, -1) + letter).filter((session) => find(session))).toEqual([good]);
  });

  test('is bound to the name, also where names hold dots and numbers', () => {
    const later = nowSeconds() + 60;
    const tokens = tokensOf({ name: 'team', verbs: ['read'] }, { name: 'team.a', verbs: ['read'] }, { name: `team.${later}`, verbs: ['read'] });
    const dotted = new TokenStore(tokens);
    for (const token of tokens) {
      expect(find(sign(token, later), dotted)).toBe(token.name);
      const afterName = sign(token, later).slice(token.name.length);
      const others = tokens.filter((other) => other !== token).map(({ name }) => name + afterName);
      expect(others.filter((session) => find(session, dotted))).toEqual([]);
    }
  });

  test('is bound to the name even where two names share a secret', () => {
    const shared = (name: string) => ({ ...named(fleet(), 'both'), name });
    const tokens = new TokenStore([shared('a'), shared('b')]);
    const session = sign(shared('a'), nowSeconds() + 60);
    expect(find(session, tokens)).toBe('a');
    expect(find(`b${session.slice(1)}`, tokens)).toBeUndefined();
  });

  test('is the same in every version: replicas of two take each other\'s', () => {
    const later = nowSeconds() + 3600;
    const digest = hash('sha256', secretOf('both'), 'buffer');
    const key = createHmac('sha256', SESSION_SECRET).update(digest).digest();
    const signature = createHmac('sha256', key).update(`rollcall-session:both.${later}`).digest('base64url');
    expect(sign(named(fleet(), 'both'), later)).toBe(`both.${later}.${signature}`);
    expect(find(`both.${later}.${signature}`)).toBe('both');
    const bare = createHmac('sha256', key).update(`both.${later}`).digest('base64url');
    expect(find(`both.${later}.${bare}`)).toBeUndefined();
  });

  test('cannot be made of what a file of digests shows', () => {
    const claim = `both.${nowSeconds() + 3600}`;
    const digest = hash('sha256', secretOf('both'), 'buffer');
    for (const key of [digest, digest.toString('hex'), createHmac('sha256', digest).update(digest).digest(), createHmac('sha256', '').update(digest).digest()]) {
      expect(find(`${claim}.${createHmac('sha256', key).update(`rollcall-session:${claim}`).digest('base64url')}`)).toBeUndefined();
    }
  });

  test('is good for 12 hours ahead and a minute, whoever made it', () => {
    const token = named(fleet(), 'both');
    const found = (seconds: number) => find(sign(token, nowSeconds() + LIFETIME + seconds));
    expect([found(-10), found(40), found(80), found(10 * 365 * 86_400)]).toEqual(['both', 'both', undefined, undefined]);
  });
});

describe('the secret of sessions', () => {
  test('that was never read: no session is made or taken, and tokens work', async () => {
    const { app } = await buildGateway({ tokens: fleet(), sessionSecret: () => undefined });
    expectProblem(await caller(app.server, secretOf('both')).post('/session'), 503, 'store_unavailable');
    expectProblem(await withCookie(both(), app).get('/sd/v1/groups'), 401, 'unauthorized');
    await caller(app.server, secretOf('both')).get('/groups').expect(200);
  });
});

describe('a token that is withdrawn', () => {
  const tokensFile = (...entries: object[]) => {
    const dir = mkdtempSync(join(tmpdir(), 'rollcall-sessions-'));
    onTestFinished(() => rmSync(dir, { recursive: true }));
    const file = join(dir, 'tokens.json');
    writeFileSync(file, JSON.stringify(entries));
    return file;
  };
  const entry = (name: string, token = secretOf(name), verbs = ['read']) => ({ name, token, verbs });
  const opened = (fixed: Token[], file: string) => {
    const store = new TokenStore(fixed, file);
    onTestFinished(() => store.close());
    return store;
  };
  const sessionFor = (store: TokenStore, secret: string) => cookieOf(store.find(secret) as Token);

  test('takes its sessions with it, and so does one whose secret is replaced', async () => {
    const file = tokensFile(entry('gone'), entry('changed'), entry('stays'));
    const store = opened([], file);
    const [gone, changed, stays] = ['gone', 'changed', 'stays'].map((name) => sessionFor(store, secretOf(name))) as [string, string, string];
    expect([gone, changed, stays].map((cookie) => foundBy(cookie, store)?.name)).toEqual(['gone', 'changed', 'stays']);
    writeFileSync(file, JSON.stringify([entry('changed', 'another-secret-of-it'), entry('stays')]));
    await until(() => !store.find(secretOf('gone')));
    expect([gone, changed, stays].map((cookie) => foundBy(cookie, store)?.name)).toEqual([undefined, undefined, 'stays']);
  });

  test('does not fall back to one of the list that has its name, and each name means the token that was sent', async () => {
    const file = tokensFile(entry('token-1', 'secret-in-the-file'));
    const store = opened(tokensFromList('secret-in-the-list'), file);
    const [listed, filed] = [sessionFor(store, 'secret-in-the-list'), sessionFor(store, 'secret-in-the-file')];
    expect(foundBy(listed, store)).toBe(store.find('secret-in-the-list'));
    expect(foundBy(filed, store)).toBe(store.find('secret-in-the-file'));
    expect(foundBy(filed, store)?.verbs).toEqual(new Set(['read']));
    writeFileSync(file, JSON.stringify([entry('other')]));
    await until(() => !store.find('secret-in-the-file'));
    expect(foundBy(filed, store)).toBeUndefined();
    expect(foundBy(listed, store)).toBe(store.find('secret-in-the-list'));
  });

  test('is the same as its session even where list and file share name and secret: what find gives holds', () => {
    const store = opened(tokensFromList('one-secret-of-both'), tokensFile(entry('token-1', 'one-secret-of-both')));
    expect(store.find('one-secret-of-both')?.verbs).toEqual(new Set(['read']));
    expect(foundBy(sessionFor(store, 'one-secret-of-both'), store)).toBe(store.find('one-secret-of-both'));
  });
});
