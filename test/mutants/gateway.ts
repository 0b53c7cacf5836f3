import type { Mutant } from './mutant.js';

export const gateway: Mutant[] = [
  {
    name: 'beats-not-smeared',
    guard: 'after an outage heartbeats are spread',
    find: 'if (this.options.lagMs() < BUSY_FROM_MS && !this.options.settling()) return intervalMs;',
    replace: 'if (this.options.lagMs() < 1e9 * BUSY_FROM_MS && ttlMs > 0) return intervalMs;',
    test: 'test/http/shedding.test.ts',
  },
  {
    name: 'evict-for-writers',
    guard: 'ending a hold is for tokens that may admin',
    find: `config: { access: 'admin' },`,
    replace: `config: { access: 'write' },`,
    test: 'test/http/evict.test.ts',
  },
  {
    name: 'every-failure-looked-for',
    guard: 'a hostile body costs no more than a right one',
    find: 'const [first, every] = [createAjv({}), createAjv({ allErrors: true })];',
    replace: 'const [first, every] = [createAjv({ allErrors: true }), createAjv({ allErrors: true })];',
    test: 'test/http/hostile-bodies.test.ts',
  },
  {
    name: 'heartbeats-shed-first',
    guard: 'reads are left out before registrations, and those before heartbeats',
    find: `if (config.bucket === 'heartbeat') return 'heartbeat';`,
    replace: `if (config.bucket === 'heartbeat') return 'read';`,
    test: 'test/http/shedding.test.ts',
  },
  {
    name: 'prefer-goes-back-and-forth',
    guard: 'a header takes time by its length',
    find: `const seconds = unquoted(value.join('=').trim()).trim();`,
    replace: `const seconds = /^\\s*"?([^";]*?)"?\\s*$/.exec(unquoted(value.join('=')))?.[1] ?? '';`,
    test: 'test/regular-expressions.test.ts',
  },
  {
    name: 'public-is-shed',
    guard: 'health, metrics and documents always answer',
    find: `if (!url?.startsWith('/sd/')) return undefined;`,
    replace: 'if (url === undefined) return undefined;',
    test: 'test/http/shedding.test.ts',
  },
  {
    name: 'names-not-cut',
    guard: 'what a caller sent is cut before it is shown or logged',
    find: 'const cut = (text: string, most: number) => (text.length > most ?',
    replace: 'const cut = (text: string, most: number) => (text.length > 1e9 * most ?',
    test: 'test/http/hostile-bodies.test.ts',
  },
  {
    name: 'numbers-as-number-reads-them',
    guard: 'a decimal integer is digits',
    find: `if (type === 'integer' && /^[0-9]+$/.test(text)) given[name] = Number(text);`,
    replace: `if (type === 'integer' && /[0-9]+/.test(text)) given[name] = Number(text);`,
    test: 'test/http/bad-input.test.ts',
  },
  {
    name: 'registrations-unbounded',
    guard: 'registrations under way are bounded',
    find: `const full = work === 'write' && this.#registrations >= REGISTRATIONS_AT_ONCE;`,
    replace: `const full = work === 'write' && this.#registrations >= 1e9 * REGISTRATIONS_AT_ONCE;`,
    test: 'test/http/shedding.test.ts',
  },
  {
    name: 'smeared-past-half-a-lease',
    guard: 'a heartbeat is never asked for later than half a lease',
    find: 'const latest = Math.max(intervalMs, Math.min(1.5 * intervalMs, ttlMs / 2));',
    replace: 'const latest = Math.max(intervalMs, Math.max(1.5 * intervalMs, ttlMs / 2));',
    test: 'test/http/shedding.test.ts',
  },
];
