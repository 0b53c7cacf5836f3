import { execFile, execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { build } from 'esbuild';
import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import { TOKEN } from './helpers/gateway.js';
import { openClient } from './client/helpers.js';

const ROOT = fileURLToPath(new URL('../', import.meta.url));
let dir: string;
const run = (command: string, args: string[], env: Record<string, string> = {}) => execFileSync(command, args, { cwd: dir, encoding: 'utf8', env: { ...process.env, ...env } });

beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'rollcall-pack-'));
  execFileSync('npm', ['run', '--silent', 'pack'], { cwd: ROOT, stdio: ['ignore', 'ignore', 'inherit'] });
  writeFileSync(join(dir, 'package.json'), '{"type":"module"}');
  const [tarball] = readdirSync(join(ROOT, 'packed')).filter((name) => /^rollcall-client-.*\.tgz$/.test(name));
  run('npm', ['install', '--offline', '--silent', '--no-package-lock', join(ROOT, 'packed', tarball as string)]);
}, 60_000);
afterAll(() => rmSync(dir, { recursive: true, force: true }));

const filesOf = (folder: string) => readdirSync(folder, { recursive: true, encoding: 'utf8' }).map((name) => join(folder, name)).filter((name) => statSync(name).isFile());

test('the client installs from its tarball as one package of less than 300 KB, without a registry', () => {
  expect(readdirSync(join(dir, 'node_modules')).filter((name) => !name.startsWith('.'))).toEqual(['rollcall-client']);
  expect(filesOf(join(dir, 'node_modules')).reduce((sum, name) => sum + statSync(name).size, 0)).toBeLessThan(300 * 1024);
});

test('bundled for a browser it is less than 20 KB, gzipped, and has nothing of Node in it', async () => {
  writeFileSync(join(dir, 'page.js'), "import { createClient, join, catalog } from 'rollcall-client'; globalThis.rollcall = { createClient, join, catalog };");
  const { outputFiles: [bundle], warnings } = await build({ entryPoints: [join(dir, 'page.js')], bundle: true, format: 'esm', platform: 'browser', minify: true, write: false });
  expect(warnings).toEqual([]);
  expect(bundle?.text).not.toContain('node:');
  expect(gzipSync(bundle?.contents ?? '').length).toBeLessThan(20 * 1024);
});

test('its types resolve without any other package', () => {
  writeFileSync(
    join(dir, 'use.ts'),
    `import { catalog, createClient, join, RollcallError, type Session } from 'rollcall-client';
     const session: Session = join({ type: 'game', ports: [7777, { port: 1, name: 'a' }], worker: true, labels: { a: 'b' } });
     const chat = catalog({ type: 'chat' });
     const host: string | undefined = chat.pick()?.hostname;
     // @ts-expect-error there is no such status
     session.updateStatus('fine');
     export const more = [host, createClient().list({ status: 'ready' }), RollcallError];`,
  );
  const tsc = join(ROOT, 'node_modules/typescript/bin/tsc');
  const compilerOptions = { noEmit: true, strict: true, exactOptionalPropertyTypes: true, module: 'nodenext', target: 'es2023', lib: ['es2023', 'dom'], types: [] };
  writeFileSync(join(dir, 'tsconfig.json'), JSON.stringify({ compilerOptions, files: ['use.ts'] }));
  run(process.execPath, [tsc, '-p', dir]);
});

const USE = `
  import { createClient, catalog, join } from 'rollcall-client';
  const client = createClient(JSON.parse(process.argv[2]));
  const me = join({ type: 'game', group: 'kr-1', ports: [7777], worker: true }, client);
  await me.registered;
  const games = catalog({ type: 'game' }, client);
  await games.ready;
  const answer = await client.lock('shop', { ttlSeconds: 5 }, ({ fencingToken }) => fencingToken > 0);
  const wrong = await client.register({ type: 'a:b', hostname: 'h' }).catch(({ code }) => code);
  console.log(JSON.stringify({ picked: games.pick()?.instanceId === me.instanceId, answer, wrong, left: await me.leave() }));
  games.close();
  await client.close();
`;

test.each(['http', 'redis'] as const)('installed, it joins, follows, locks and leaves: mode %s', async (mode) => {
  const { baseURL, prefix } = await openClient();
  writeFileSync(join(dir, 'use.mjs'), USE);
  if (mode === 'redis') symlinkSync(join(ROOT, 'node_modules/ioredis'), join(dir, 'node_modules/ioredis'));
  const options = mode === 'http' ? { baseURL, apiToken: TOKEN } : { mode, redisUrl: inject('redisUrl'), keyPrefix: prefix };
  expect(JSON.parse(await runAsync(['use.mjs', JSON.stringify(options)]))).toEqual({ picked: true, answer: true, wrong: 'invalid_request', left: true });
});

test('both manifests name the same version, and the whole package has every file that its entry points name', () => {
  const read = (path: string) => JSON.parse(readFileSync(path, 'utf8')) as { version: string };
  expect(read(join(dir, 'node_modules/rollcall-client/package.json')).version).toBe(read(join(ROOT, 'package.json')).version);
  const [whole] = readdirSync(join(ROOT, 'packed')).filter((name) => /^rollcall-\d.*\.tgz$/.test(name));
  const names = run('tar', ['-tzf', join(ROOT, 'packed', whole as string)]).split('\n');
  expect(names).toEqual(expect.arrayContaining(['package/dist/client/index.js', 'package/dist/client/index.d.ts', 'package/dist/client/beat-worker.js', 'package/dist/grpc/index.js', 'package/dist/rollcall.js', 'package/lua/register.lua']));
});

/** Not to be waited for in this process: it is the gateway. */
function runAsync(args: string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    execFile(process.execPath, args, { cwd: dir, timeout: 20_000 }, (error, stdout) => (error ? reject(error) : resolve(stdout)));
  });
}
