// `npm run pack`: both packages of this tree as tarballs in `packed/`. `rollcall` is the gateway, the command line and every entry point;
// `rollcall-client` is the client alone, bundled, without any required dependency.
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { bundleClient } from './bundle.js';
import { declareClient } from './declarations.js';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const OUT = join(ROOT, 'packed');
const CLIENT = join(OUT, 'rollcall-client');

interface Manifest extends Record<string, unknown> {
  dependencies: Record<string, string>;
  peerDependencies: Record<string, string>;
}

/** What both have in common is said once, in the manifest of this tree. */
function manifestOf({ version, license, engines, publishConfig, dependencies, peerDependencies }: Manifest, ofNode: string[]) {
  const entry = (name: string) => ({ types: `./dist/${name}.d.ts`, default: `./dist/${name}.js` });
  return {
    name: 'rollcall-client',
    version,
    description: 'Client of Rollcall, the service-discovery gateway: join, catalog, locks, gRPC names; over HTTP, or straight to Redis',
    type: 'module',
    license,
    engines,
    keywords: ['service-discovery', 'registry', 'heartbeat', 'grpc', 'redis', 'lock'],
    exports: {
      '.': entry('client/index'),
      './grpc': entry('grpc/index'),
      './package.json': './package.json',
    },
    sideEffects: false,
    // For bundlers: what a browser has not.
    browser: Object.fromEntries([...ofNode, 'ioredis'].map((path) => [path, './dist/absent.js'])),
    publishConfig,
    files: ['dist', 'lua'],
    peerDependencies: { ...peerDependencies, ioredis: `^${dependencies.ioredis}` },
    peerDependenciesMeta: { '@grpc/grpc-js': { optional: true }, ioredis: { optional: true } },
  };
}

const pack = (folder: string) => execFileSync('npm', ['pack', '--silent', '--ignore-scripts', '--pack-destination', OUT], { cwd: folder, stdio: ['ignore', 'inherit', 'inherit'] });

rmSync(OUT, { recursive: true, force: true });
mkdirSync(CLIENT, { recursive: true });
execFileSync('npm', ['run', '--silent', 'build'], { cwd: ROOT, stdio: 'inherit' });
pack(ROOT);

const ofNode = await bundleClient(ROOT, CLIENT);
writeFileSync(join(CLIENT, 'dist/absent.js'), `throw Object.assign(new Error('a browser has not what this needs'), { code: 'ERR_MODULE_NOT_FOUND' });\n`);
declareClient(ROOT, CLIENT);
cpSync(join(ROOT, 'LICENSE'), join(CLIENT, 'LICENSE'));
cpSync(join(ROOT, 'scripts/pack/README.client.md'), join(CLIENT, 'README.md'));
const manifest = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as Manifest;
writeFileSync(join(CLIENT, 'package.json'), `${JSON.stringify(manifestOf(manifest, ofNode), null, 2)}\n`);
pack(CLIENT);
