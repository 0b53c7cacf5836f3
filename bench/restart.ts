// `npx tsx bench/restart.ts [folder …]`: how long a gateway takes from its start to `readyz` with INSTANCES in Redis, ROUNDS times. With
// folders of other checkouts that are built, all take turns on the same Redis.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePort } from '../test/helpers/ports.js';
import { median, openFiller, print, startRig, TOKEN } from './rig.js';

const INSTANCES = Number(process.env.INSTANCES ?? 100_000);
const ROUNDS = Number(process.env.ROUNDS ?? 5);
const LOOK_EVERY_MS = 50;
const AT_MOST_MS = 120_000;
const folders = process.argv.slice(2).length > 0 ? process.argv.slice(2) : ['.'];

const rig = await startRig();
const filler = await openFiller(rig.redisUrl);
try {
  await filler.fill('near', INSTANCES, 100);
  const took = new Map(folders.map((folder) => [folder, [] as number[]]));
  for (let round = 1; round <= ROUNDS; round++) {
    for (const folder of folders) took.get(folder)?.push(await secondsOfStart(folder, round));
  }
  for (const [folder, seconds] of took) print(`${folder}: ready after ${median(seconds).toFixed(1)} s (${Math.min(...seconds).toFixed(1)} to ${Math.max(...seconds).toFixed(1)})`);
} finally {
  filler.close();
  await rig.close();
}

async function secondsOfStart(folder: string, round: number): Promise<number> {
  const port = await freePort();
  const env = { PATH: process.env.PATH, NODE_ENV: 'production', HOST: '127.0.0.1', PORT: String(port), REDIS_URL: rig.redisUrl, API_TOKENS: TOKEN };
  const startedAt = performance.now();
  const seconds = () => (performance.now() - startedAt) / 1000;
  const child = spawn('node', [resolve(folder, 'dist/server.js')], { cwd: folder, env, stdio: ['ignore', 'ignore', 'inherit'] });
  const gone = once(child, 'exit');
  try {
    for (let listening = 0; performance.now() - startedAt < AT_MOST_MS; await sleep(LOOK_EVERY_MS)) {
      const reply = await fetch(`http://127.0.0.1:${port}/readyz`).catch(() => undefined);
      await reply?.body?.cancel();
      if (reply) listening ||= seconds();
      if (!reply?.ok) continue;
      print(`${folder}, round ${round}: listens after ${listening.toFixed(1)} s, ready after ${seconds().toFixed(1)} s`);
      return seconds();
    }
    throw new Error(`not ready within ${AT_MOST_MS} ms`);
  } finally {
    child.kill('SIGKILL');
    await gone;
  }
}
