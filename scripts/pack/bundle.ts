import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, relative, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { build, type BuildOptions, type Plugin } from 'esbuild';

/**
 * The contract as plain data: its schemas are built by a library of 200 KB, and what that builds is JSON. Functions of these files are left out; a bundle that
 * needs one does not build.
 */
const contractAsData: Plugin = {
  name: 'contract-as-data',
  setup(bundler) {
    bundler.onLoad({ filter: /\/dist\/contract\/[a-z-]+\.js$/ }, async ({ path }) => {
      const source = readFileSync(path, 'utf8');
      if (!source.includes("from 'typebox'")) return { contents: source };
      const values = (await import(pathToFileURL(path).href)) as Record<string, unknown>;
      const plain = Object.entries(values).filter(([, value]) => typeof value !== 'function');
      return { contents: plain.map(([name, value]) => `export const ${name} = /* @__PURE__ */ JSON.parse(${JSON.stringify(JSON.stringify(value, withoutWords))});`).join('\n') };
    });
  },
};

/** What a schema says to people. */
const withoutWords = (key: string, value: unknown) => (key === 'description' || key === 'examples' ? undefined : value);

/** Formats of JSON Schema that the contract does not name (dates, mail addresses, international host names): 14 KB. */
const noForeignFormats: Plugin = {
  name: 'no-foreign-formats',
  setup(bundler) {
    bundler.onLoad({ filter: /\/typebox\/build\/format\/[a-z]\w*\.mjs$/ }, ({ path }) => {
      if (/(?:format|index)\.mjs$/.test(path)) return undefined;
      const names = [...readFileSync(path, 'utf8').matchAll(/^export (?:function|const) (\w+)/gm)].map(([, name]) => name as string);
      return { contents: names.map((name) => `export const ${name} = () => true;`).join('\n') };
    });
  },
};

const COMMON: BuildOptions = {
  bundle: true,
  format: 'esm',
  platform: 'neutral',
  target: ['node20', 'es2022'],
  mainFields: ['module', 'main'],
  conditions: ['browser', 'import'], // of ulid, the build that runs everywhere
  external: ['ioredis', '@grpc/grpc-js', 'node:*'],
  minify: true,
  legalComments: 'inline',
  logLevel: 'warning',
};

/**
 * The client with all that it needs. What needs Node is in files of its own, loaded on demand; resolves to their paths, for bundlers that make something for a
 * browser. Those files lie as deep in the package as the compiled sources do: the scripts of Redis (../../../lua) and the thread that beats
 * (../beat-worker.js) are found by the same relative paths.
 */
export async function bundleClient(root: string, out: string): Promise<string[]> {
  const entry = (name: string) => ({ in: join(root, 'dist', `${name}.js`), out: name });
  const { metafile } = await build({
    ...COMMON,
    entryPoints: [entry('client/index'), entry('client/beat-worker'), entry('grpc/index')],
    outdir: join(out, 'dist'),
    splitting: true,
    chunkNames: 'client/parts/[name]-[hash]',
    plugins: [contractAsData, noForeignFormats],
    metafile: true,
  });
  copyScripts(join(root, 'lua'), join(out, 'lua'));
  // All that is loaded on demand, and what only that shares.
  const everywhere = [entry('client/index').in, entry('grpc/index').in];
  const ofNode = Object.entries(metafile.outputs).filter(
    ([, { imports, entryPoint }]) => (entryPoint !== undefined && !everywhere.includes(resolve(entryPoint))) || imports.some(({ path }) => path.startsWith('node:') || path === 'ioredis'),
  );
  return ofNode.map(([path]) => `./${relative(out, resolve(path))}`);
}

/** Without what they say to people, who read them in the repository: that is two fifths of their bytes. A `#!` line and includes stay. */
function copyScripts(from: string, to: string) {
  mkdirSync(to, { recursive: true });
  for (const each of readdirSync(from, { withFileTypes: true })) {
    if (each.isDirectory()) copyScripts(join(from, each.name), join(to, each.name));
    if (!each.name.endsWith('.lua')) continue;
    const lines = readFileSync(join(from, each.name), 'utf8').split('\n');
    writeFileSync(join(to, each.name), lines.filter((line) => !/^\s*--/.test(line) || line.startsWith('-- @include ')).map((line) => line.trimStart()).join('\n'));
  }
}
