// `npx tsx bench/locks.ts`: CONTENDERS for one lock at two gateways for SECONDS. Each notes when it held the lock, and its token: never two at once by
// the order of the tokens, and nobody waits for longer than the others.
import { setTimeout as sleep } from 'node:timers/promises';
import { createClient } from '../src/client/index.js';
import { print, startRig, TOKEN } from './rig.js';

const [CONTENDERS, SECONDS] = [Number(process.env.CONTENDERS ?? 1000), Number(process.env.SECONDS ?? 30)];
const rig = await startRig();
const gateways = [await rig.startGateway(), await rig.startGateway()];
const clients = gateways.map(({ url }) => createClient({ baseURL: url, apiToken: TOKEN, timeoutMs: 20_000 }));
const until = performance.now() + SECONDS * 1000;
const held: { token: number; from: number; to: number }[] = [];
const waits: number[] = [];
let refused = 0;
await Promise.all(
  Array.from({ length: CONTENDERS }, async (_, i) => {
    const client = clients[i % clients.length] as (typeof clients)[number];
    while (performance.now() < until) {
      const asked = performance.now();
      try {
        await client.lock('shop', { ttlSeconds: 10, waitMs: 25_000 }, async ({ fencingToken }) => {
          const from = performance.now();
          waits.push(from - asked);
          await sleep(0);
          held.push({ token: fencingToken, from, to: performance.now() });
        });
      } catch (error) {
        refused++;
        if (refused < 5) print((error as Error).message);
        await sleep(100);
      }
    }
  }),
);
const byToken = [...held].sort((a, b) => a.token - b.token);
const overlaps = byToken.filter(({ from }, i) => i > 0 && from < (byToken[i - 1]?.to ?? 0)).length;
waits.sort((a, b) => a - b);
const at = (share: number) => Math.round(waits[Math.floor(share * (waits.length - 1))] ?? 0);
print(`${CONTENDERS} contenders, ${SECONDS} s: held ${held.length} times, overlaps ${overlaps}, refused ${refused}; waited ${at(0.5)} ms (median), ${at(0.99)} (p99), ${at(1)} (longest)`);
for (const client of clients) await client.close();
await rig.close();
process.exit(0);
