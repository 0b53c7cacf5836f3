import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { basename, dirname, join, relative, resolve } from 'node:path';
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
const USERS = ['grpc', 'cli', 'dashboard'];
const MAY_IMPORT: Record<string, string[]> = {
  contract: [],
  registry: ['contract'],
  ...Object.fromEntries(MIDDLE.map((folder) => [folder, ['contract', 'registry']])),
  ...Object.fromEntries(USERS.map((folder) => [folder, ['contract', 'client']])),
  root: ['contract', 'registry', ...MIDDLE, 'cli'],
};

/** The rooms of each folder, from the lowest on. Each may import those before it, and the files of the folder itself. */
const ROOMS: Record<string, string[]> = {
  registry: ['log', 'table', 'watch', 'recovery', 'view', 'served'],
  redis: ['connect', 'scripts', 'log', 'load', 'recovery', 'follow', 'upkeep', 'locks'],
  http: ['problems', 'replies', 'requests', 'auth', 'openapi', 'routes', 'metrics'],
  client: ['base', 'http', 'direct', 'verbs', 'session', 'catalog'],
};

/** Rooms that stand below the files of their folder: of redis/ all, for those files put the rooms together. */
const BELOW: Record<string, string[] | undefined> = { http: ['problems'], redis: ROOMS.redis, client: ROOMS.client };

/** What of a room is its own. Every other file of it may be imported from outside. */
const INNER: Record<string, string[]> = {
  'registry/table': ['groups', 'lapses', 'leases'],
  'registry/view': ['freshness', 'waits'],
  'registry/watch': ['performance', 'pumps', 'recent-frames', 'snapshot'],
  redis: ['catch-up', 'message-frames', 'redis-registrar'],
  'redis/connect': ['silence'],
  'redis/scripts': ['lane'],
  'redis/locks': ['waiters'],
  'redis/load': ['lease-walk', 'look-back'],
  'redis/recovery': ['restore'],
  'redis/follow': ['divergence', 'intake', 'last-pulse', 'stage'],
  'redis/upkeep': ['hand-written', 'reconcile', 'spoilt-keys'],
  'http/requests': ['body-reader', 'json'],
  'http/routes': ['conditional', 'discovery-query'],
  'http/metrics': ['histogram'],
  'client/http': ['event-stream'],
  'client/direct': ['checks'],
  'client/session': ['beating', 'in-worker', 'machine', 'signals'],
  client: ['beat-worker'],
  'client/catalog': ['candidates', 'ejected', 'files', 'keeping'],
  jobs: ['watch-ticks'],
  probes: ['networks'],
  grpc: ['index', 'resolver', 'target'],
  cli: ['completion', 'connect', 'follow', 'health', 'lock', 'print', 'program', 'run', 'verbs'],
};
const roomOf = (name: string) => (name.includes('/') ? dirname(name) : 'root');

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
    return from === 'client/direct/redis-backend.ts' && other === 'redis' && dynamic; // its Redis-direct mode, loaded on demand
  };
  expect(inside.filter((one) => !allowed(one)).map(say)).toEqual([]);
});

const HOMES: Record<string, (from: string) => boolean> = {
  '@grpc/grpc-js': (from) => folderOf(from) === 'grpc',
  ioredis: (from) => from.startsWith('redis/connect/'),
  bullmq: (from) => folderOf(from) === 'jobs',
  fastify: (from) => ['http', 'root'].includes(folderOf(from)),
  '@fastify/cors': (from) => ['http', 'root'].includes(folderOf(from)),
  'js-redis-server': (from) => from === 'redis/connect/embedded.ts',
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

test('the environment is read in one place of the gateway, and in one of the client', () => {
  expect(files.filter((name) => /process\s*(\.|\?\.|\[\s*['"])\s*env\b/.test(code(name)))).toEqual(['cli/lock.ts', 'cli/run.ts', 'client/base/options.ts', 'config.ts']); // the first two pass it on
});

test('keys of Redis are named in src/redis/scripts/keys.ts only', () => {
  // A request id has a prefix too.
  const named = /[`'"][^`'"\n]*(\$\{(\w+\.)*prefix\}|\bservice:)\w*:?|[`'"](instance|record|group|leases|events|beats):/;
  const offenders = files.filter((name) => !['redis/scripts/keys.ts', 'http/requests/request-log.ts', 'variables.ts', 'client/base/options.ts'].includes(name) && code(name).split('\n').some((line) => named.test(line) && !/^\s*const prefixes = \{/.test(line)));
  expect(offenders).toEqual([]);
});

test('a Lua script names its keys by the names of include/keys.lua, never by a literal', () => {
  const lua = readdirSync(join(ROOT, 'lua'), { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.lua'));
  expect(lua.length).toBeGreaterThan(9);
  for (const name of lua) {
    const source = readFileSync(join(ROOT, 'lua', name), 'utf8');
    const literals = [...source.matchAll(/redis\.p?call\('([A-Z]+)'\s*,\s*(['"].*?['"])/g)].map(([call]) => call);
    expect(literals, name).toEqual([]);
    if (!['include/keys.lua', 'include/lockkeys.lua'].includes(name)) expect(source, name).not.toMatch(/\bKEYS\[/);
  }
});

test('a room imports the rooms below it only', () => {
  const upwards = inside.filter(({ from, to }) => {
    const [folder, one, other] = [folderOf(from), roomOf(from).split('/')[1], roomOf(to).split('/')[1]];
    if (folder !== folderOf(to) || one === other) return false;
    if (other === undefined) return BELOW[folder]?.includes(one as string);
    const order = ROOMS[folder] ?? [];
    if (one === undefined) return !BELOW[folder]?.includes(other);
    return order.indexOf(one) <= order.indexOf(other);
  });
  expect(upwards.map(say)).toEqual([]);
  const rooms = files.map(roomOf).filter((room) => room.includes('/'));
  expect([...new Set(rooms)].sort()).toEqual(Object.entries(ROOMS).flatMap(([folder, names]) => names.map((name) => `${folder}/${name}`)).sort());
});

test('what is inside a room stays inside', () => {
  const inner = new Set(Object.entries(INNER).flatMap(([room, names]) => names.map((name) => `${room}/${name}.ts`)));
  expect([...inner].filter((name) => !files.includes(name))).toEqual([]);
  expect(inside.filter(({ from, to }) => inner.has(to) && roomOf(from) !== roomOf(to)).map(say)).toEqual([]);
  const used = new Set(inside.filter(({ from, to }) => roomOf(from) !== roomOf(to)).map(({ to }) => to));
  const unlisted = files.filter((name) => !used.has(name) && !inner.has(name) && !['root', 'contract'].includes(roomOf(name)));
  expect(unlisted).toEqual([]);
});

test('at most 15 files lie directly in one folder of src', () => {
  const count = (room: string) => readdirSync(join(SRC, room === 'root' ? '.' : room), { withFileTypes: true }).filter((entry) => entry.isFile()).length;
  expect([...new Set(files.map(roomOf))].filter((room) => count(room) > 15)).toEqual([]);
});

test('the README of a room says what each of its files does', () => {
  const readme = (room: string) => join(room === 'lua' ? ROOT : SRC, room, 'README.md');
  const rooms = [...new Set(files.map(roomOf))].filter((room) => room !== 'root');
  expect([...rooms, 'lua'].filter((room) => !existsSync(readme(room)))).toEqual([]);
  const unnamed = files.filter((name) => rooms.includes(roomOf(name)) && !readFileSync(readme(roomOf(name)), 'utf8').includes(`\`${basename(name)}\``));
  expect(unnamed).toEqual([]);
});

test('no file of src, test or bench imports itself by way of others', () => {
  const graph = new Map<string, string[]>();
  for (const top of ['src', 'test', 'bench', 'scripts']) {
    for (const name of readdirSync(join(ROOT, top), { recursive: true, encoding: 'utf8' }).filter((one) => one.endsWith('.ts'))) {
      const path = join(top, name);
      const named = [...readFileSync(join(ROOT, path), 'utf8').matchAll(/^(?:import|export)\s[^'"`;]*?from\s'(\.[^']+)\.js'/gm)];
      graph.set(path, named.map(([, to]) => `${join(dirname(path), to as string)}.ts`));
    }
  }
  const done = new Set<string>();
  const circles: string[] = [];
  const walk = (name: string, way: string[]) => {
    if (way.includes(name)) return void circles.push([...way.slice(way.indexOf(name)), name].join(' > '));
    if (done.has(name)) return;
    for (const next of graph.get(name) ?? []) walk(next, [...way, name]);
    done.add(name);
  };
  for (const name of graph.keys()) walk(name, []);
  expect(circles).toEqual([]);
});
