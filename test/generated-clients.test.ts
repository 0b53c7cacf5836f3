import { execFile } from 'node:child_process';
import { cpSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { beforeAll, expect, test } from 'vitest';
import { buildGateway, TOKEN } from './helpers/gateway.js';

const run = promisify(execFile);
const bin = (name: string) => resolve('node_modules/.bin', name);

/** As strict as an integrator's may be: their library files are checked, too. */
const TSCONFIG = {
  compilerOptions: {
    target: 'ES2022', module: 'nodenext', moduleResolution: 'nodenext', lib: ['ES2022', 'DOM', 'DOM.Iterable', 'DOM.AsyncIterable'], types: [],
    strict: true, skipLibCheck: false, rootDir: '.', outDir: 'out',
  },
  include: ['*.ts', 'hey-api/**/*.ts'],
};
const HEY_API = `export default { input: ${JSON.stringify(resolve('openapi.yaml'))}, output: { path: 'hey-api', module: { extension: '.js' } }, plugins: ['@hey-api/client-fetch', '@hey-api/typescript', '@hey-api/sdk'] };`;

let folder: string;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'rollcall-clients-'));
  symlinkSync(resolve('node_modules'), join(folder, 'node_modules'));
  writeFileSync(join(folder, 'package.json'), '{ "type": "module" }');
  writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify(TSCONFIG));
  writeFileSync(join(folder, 'openapi-ts.config.mjs'), HEY_API);
  cpSync('test/clients', folder, { recursive: true });
  await Promise.all([
    run(bin('openapi-typescript'), [resolve('openapi.yaml'), '-o', 'schema.d.ts'], { cwd: folder }),
    run(bin('openapi-ts'), ['--no-log-file'], { cwd: folder }),
  ]);
  await run(process.execPath, [resolve('node_modules/typescript/bin/tsc'), '-p', '.'], { cwd: folder }).catch((error: { stdout: string }) => {
    throw new Error(error.stdout);
  });
  return () => rmSync(folder, { recursive: true, force: true });
}, 240_000);

async function used(name: string): Promise<unknown> {
  const { app } = await buildGateway();
  const client = (await import(pathToFileURL(join(folder, 'out', `${name}.js`)).href)) as { run: (url: string, token: string) => Promise<unknown> };
  return client.run(`http://127.0.0.1:${(app.server.address() as AddressInfo).port}`, TOKEN);
}

const ISO = expect.stringMatching(/^\d{4}-.*Z$/) as string;

test('openapi-typescript with openapi-fetch: compiles strictly; registers, beats, filters, polls, reads the log, is told by codes, watches', async () => {
  expect(await used('openapi-fetch')).toEqual({
    ttlSeconds: 30, expiresAt: ISO, listed: ['of-openapi-fetch'], again: 304, elsewhere: 0, polled: 1, told: 'a.example.com', errors: [true, '?limit'], snapshot: 1,
  });
});

test('@hey-api/openapi-ts: compiles strictly; registers, beats, filters, reads the log, is told by codes, and follows a watch whose events have types', async () => {
  expect(await used('hey-api')).toEqual({
    ttlSeconds: 30, expiresAt: ISO, listed: ['of-hey-api'], again: 304, elsewhere: 0, kinds: ['registered'], missing: true, told: ['snapshot', 'removed of-hey-api'],
  });
});
