import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const SRC = join(ROOT, 'src');
const all = readdirSync(SRC, { recursive: true, encoding: 'utf8' });
const files = all.filter((name) => /\.tsx?$/.test(name)).sort();
const folders = all.filter((name) => !name.includes('/') && statSync(join(SRC, name)).isDirectory());
const text = (name: string) => readFileSync(join(SRC, name), 'utf8');
/** Comments may name anything. */
const code = (name: string) => text(name).replace(/\/\*[\s\S]*?\*\//g, '').replace(/(^|\s)\/\/.*$/gm, '$1');

interface Import {
  from: string;
  /** A file of src, or a package. */
  to: string;
  dynamic: boolean;
}

const IMPORT = /(?:^|\n)\s*(?:import|export)\s(?:[^'"`;]*?\sfrom\s)?['"]([^'"]+)['"]|(import)\(\s*['"]([^'"]+)['"]\s*\)/g;
const imports: Import[] = files.flatMap((from) =>
  [...text(from).matchAll(IMPORT)].map(([, fixed, dynamic, late]) => {
    const given = (fixed ?? late) as string;
    const to = given.startsWith('.') ? relative(SRC, resolve(SRC, dirname(from), given)).replace(/\.js$/, '.ts') : given;
    return { from, to, dynamic: dynamic !== undefined };
  }),
);
const folderOf = (name: string) => (name.includes('/') ? (name.split('/')[0] as string) : 'root');
const say = ({ from, to }: Import) => `${from} imports ${to}`;
const packageOf = (to: string) => to.split('/').slice(0, to.startsWith('@') ? 2 : 1).join('/');
const inside = imports.filter(({ to }) => files.includes(to));

/** Which folders each may import, besides itself: contract <- registry <- the middle <- the files at the root. */
const MIDDLE = ['redis', 'http', 'jobs', 'probes', 'client'];
const MAY_IMPORT: Record<string, string[]> = {
  contract: [],
  registry: ['contract'],
  ...Object.fromEntries(MIDDLE.map((folder) => [folder, ['contract', 'registry']])),
  cli: ['contract', 'registry', 'client'],
  dashboard: ['contract'],
  root: ['contract', 'registry', ...MIDDLE, 'cli'],
};

test('imports are found at all', () => {
  expect(files.length).toBeGreaterThan(30);
  expect(inside.length).toBeGreaterThan(100);
  expect(imports.filter(({ to }) => to.startsWith('.') || (/^[a-z]+\//.test(to) && folders.includes(folderOf(to)) && !files.includes(to))).map(say)).toEqual([]);
});

test('every folder of src has its place in the order', () => {
  expect(folders.filter((folder) => !(folder in MAY_IMPORT))).toEqual([]);
});

test('imports go one way: contract, registry, the middle folders, the root', () => {
  const allowed = ({ from, to, dynamic }: Import) => {
    const [one, other] = [folderOf(from), folderOf(to)];
    if (one === other || MAY_IMPORT[one]?.includes(other)) return true;
    return from === 'client/index.ts' && other === 'redis' && dynamic; // its Redis-direct mode, loaded on demand
  };
  expect(inside.filter((one) => !allowed(one)).map(say)).toEqual([]);
});

const HOMES: Record<string, (from: string) => boolean> = {
  ioredis: (from) => folderOf(from) === 'redis',
  bullmq: (from) => folderOf(from) === 'jobs',
  fastify: (from) => ['http', 'root'].includes(folderOf(from)),
  '@fastify/cors': (from) => ['http', 'root'].includes(folderOf(from)),
  'js-redis-server': (from) => from === 'redis/embedded.ts',
};

test.each(Object.keys(HOMES))('%s is imported only where it belongs', (name) => {
  const uses = imports.filter(({ to }) => packageOf(to) === name);
  expect(uses.length).toBeGreaterThan(0);
  expect(uses.filter(({ from }) => !HOMES[name]?.(from)).map(say)).toEqual([]);
});

test('@fastify packages stay in src/http and the files at the root', () => {
  const uses = imports.filter(({ to }) => to.startsWith('@fastify/'));
  expect(uses.filter(({ from }) => !['http', 'root'].includes(folderOf(from))).map(say)).toEqual([]);
});

test('the contract is fit for a browser: no module of Node, no Buffer, no process', () => {
  const uses = imports.filter(({ from, to }) => folderOf(from) === 'contract' && to.startsWith('node:'));
  expect(uses.map(say)).toEqual([]);
  expect(files.filter((name) => folderOf(name) === 'contract' && /(?<![.\w])(Buffer\.|process\.|require\()/.test(code(name)))).toEqual([]);
});

test('the environment is read in src/config.ts only', () => {
  expect(files.filter((name) => /process\s*(\.|\?\.|\[\s*['"])\s*env\b/.test(code(name)))).toEqual(['config.ts']);
});

test('keys of Redis are named in src/redis/keys.ts only', () => {
  // A request id has a prefix too.
  const named = /[`'"][^`'"\n]*(\$\{(\w+\.)*prefix\}|\bservice:)\w*:?|[`'"](instance|record|group|leases|events|beats):/;
  const offenders = files.filter((name) => !['redis/keys.ts', 'http/request-log.ts', 'variables.ts'].includes(name) && code(name).split('\n').some((line) => named.test(line) && !/^\s*const prefixes = \{/.test(line)));
  expect(offenders).toEqual([]);
});

test('a Lua script names its keys by the names of include/keys.lua, never by a literal', () => {
  const lua = readdirSync(join(ROOT, 'lua'), { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.lua'));
  expect(lua.length).toBeGreaterThan(9);
  for (const name of lua) {
    const source = readFileSync(join(ROOT, 'lua', name), 'utf8');
    const literals = [...source.matchAll(/redis\.p?call\('([A-Z]+)'\s*,\s*(['"].*?['"])/g)].map(([call]) => call);
    expect(literals, name).toEqual([]);
    if (name !== 'include/keys.lua') expect(source, name).not.toMatch(/\bKEYS\[/);
  }
});

test('every folder of src, and lua, says in a README what belongs in it', () => {
  const missing = [...folders.map((folder) => join('src', folder)), 'lua'].filter((folder) => !existsSync(join(ROOT, folder, 'README.md')));
  expect(missing).toEqual([]);
});
