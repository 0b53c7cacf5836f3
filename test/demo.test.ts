import { spawn } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { until } from './helpers/until.js';

async function runDemo(path = process.env.PATH) {
  const child = spawn(process.execPath, ['--import', 'tsx', 'scripts/demo.ts'], { env: { ...process.env, PATH: path }, stdio: 'pipe' });
  const said = { out: '', err: '' };
  child.stdout.on('data', (chunk: Buffer) => (said.out += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (said.err += chunk.toString()));
  const code = await new Promise((resolve) => child.once('close', resolve));
  return { code, ...said };
}

function isRunning(pid: number) {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

test('the demo says how a killed server leaves discover and is swept, and leaves no process behind', { timeout: 60_000 }, async () => {
  const { code, out, err } = await runDemo();
  expect({ code, err }).toEqual({ code: 0, err: '' });
  const told = ['starting a gateway', 'discover lists: game-1, game-2', 'game-2 is killed', 'discover lists: game-1\n', 'one eviction counted', '404 instance_not_found', 'discover lists: nobody'];
  const places = told.map((line) => out.indexOf(line));
  expect(places).not.toContain(-1);
  expect(places).toEqual(places.toSorted((a, b) => a - b));

  const pids = [...out.matchAll(/\(process (\d+)\)/g)].map(([, pid]) => Number(pid));
  expect(pids).toHaveLength(3);
  await until(() => !pids.some(isRunning));
});

test('a demo that cannot start its gateway says why and exits with 1', { timeout: 60_000 }, async () => {
  const folder = mkdtempSync(join(tmpdir(), 'rollcall-demo-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  const broken = join(folder, 'redis-server');
  writeFileSync(broken, '#!/bin/sh\n[ "$1" = --version ] && { echo "Redis server v=7.0.15"; exit; }\necho out of order\nexit 1\n');
  chmodSync(broken, 0o755);

  const { code, err } = await runDemo(folder + delimiter + process.env.PATH);
  expect(code).toBe(1);
  expect(err).toContain('the demo failed');
  expect(err).toContain('out of order');
});
