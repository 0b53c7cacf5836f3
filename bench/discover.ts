// `npx tsx bench/discover.ts`: one gateway, 50 groups of 100 read in turn while 100 changes a second go on, beside bare Fastify
// routes that are sent the same requests and answer as many bytes; then one group, with 1,000 and with 100,000 instances
// registered elsewhere. Needs wrk and redis-server. Bounded: ROUNDS + 1 times six loads of SECONDS, and four more.
import { execFile } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { HEADERS, median, openFiller, pace, print, startRig, TOKEN, type Process } from './rig.js';

const ROUNDS = Number(process.env.ROUNDS ?? 5);
const SECONDS = Number(process.env.SECONDS ?? 3);
const GROUPS = 50;
const PER_GROUP = 100;
const CHANGES_PER_SECOND = 100;

const groupPaths = Array.from({ length: GROUPS }, (_, g) => `/sd/v1/instances?type=game&group=near-${g}`);
const beatPaths = Array.from({ length: 1000 }, (_, n) => `/sd/v1/instances/near-${n}/heartbeat`);

interface Load {
  server: 'bare' | 'gateway';
  paths: string[];
  env?: Record<string, string>;
}

const loads = {
  'GET that does nothing': { server: 'bare', paths: ['/'] },
  'bare, same bytes': { server: 'bare', paths: groupPaths },
  'discover, full body': { server: 'gateway', paths: groupPaths },
  'bare, 304': { server: 'bare', paths: groupPaths, env: { IF_NONE_MATCH: '*' } },
  'discover, 304': { server: 'gateway', paths: groupPaths, env: { IF_NONE_MATCH: '*' } },
  'heartbeat without a body': { server: 'gateway', paths: beatPaths, env: { METHOD: 'POST' } },
} satisfies Record<string, Load>;
const names = Object.keys(loads) as (keyof typeof loads)[];

const call = promisify(execFile); // not its Sync twin: the changes go on meanwhile

/** Requests a second. */
async function wrk({ url }: Process, { paths, env = {} }: Pick<Load, 'paths' | 'env'>): Promise<number> {
  const args = ['-t1', '-c128', `-d${SECONDS}s`, '-s', 'bench/wrk/fixed.lua', url];
  const { stdout: output } = await call('wrk', args, { env: { PATH: process.env.PATH, TOKEN, PATHS: paths.join('\n'), ...env } });
  if (!output.includes('NON2XX 0 ')) throw new Error(`requests were refused\n${output}`);
  return Number(/Requests\/sec:\s+([\d.]+)/.exec(output)?.[1]);
}

const rig = await startRig();
const filler = await openFiller(rig.redisUrl);
const one = { paths: groupPaths.slice(0, 1) };
const [gateway, bare] = [await rig.startGateway(), await rig.startBare()];
try {
  await filler.fill('near', GROUPS * PER_GROUP, PER_GROUP);
  const changes = startChanges(gateway);
  const rates = Object.fromEntries(names.map((name) => [name, [] as number[]])) as Record<keyof typeof loads, number[]>;
  for (let round = 0; round <= ROUNDS; round++) {
    for (const name of names) {
      const rate = await wrk(loads[name].server === 'bare' ? bare : gateway, loads[name]);
      if (round > 0) rates[name].push(rate); // round 0 warms up
    }
  }
  for (const name of names) {
    const ratio = median(rates[name].map((rate, i) => rate / (rates['GET that does nothing'][i] as number)));
    print(`${name}: ${Math.round(median(rates[name]))}/s (${rates[name].map(Math.round).join(' ')}), ${ratio.toFixed(2)} of the GET`);
  }
  print(`changes meanwhile: ${JSON.stringify(changes.stop())}`);

  await filler.fill('some', 1000, 100);
  const few = await settled();
  await filler.fill('far', 99_000, 100);
  const many = await settled();
  print(`one group of ${PER_GROUP}, with 1,000 elsewhere ${Math.round(median(few))}/s, with 100,000 ${Math.round(median(many))}/s: costs ${(median(few) / median(many)).toFixed(2)} times as much`);
} finally {
  filler.close();
  await rig.close();
}

/** The registry is filled: what that left behind is cleared away first. */
async function settled(): Promise<number[]> {
  await sleep(3000);
  return [await wrk(gateway, one), await wrk(gateway, one), await wrk(gateway, one)];
}

function startChanges({ url }: Process) {
  return pace(CHANGES_PER_SECOND, async (n) => {
    const body = JSON.stringify({ customState: `wave ${n}` });
    const reply = await fetch(`${url}/sd/v1/instances/near-${(n * 37) % (GROUPS * PER_GROUP)}`, { method: 'PATCH', headers: HEADERS, body });
    if (!reply.ok) throw new Error(await reply.text());
  });
}
