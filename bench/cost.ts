// `npm run cost [-- row …]`: each hostile input at its limit against one replica with 20,000 instances and 500 watchers, sent by one
// token, while somebody else beats. Prints for each how long one turn of the replica's event loop was at work, at most, and what the
// others saw; writes bench/cost.md when all rows ran. Some five minutes.
import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { setPriority } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { until } from '../test/helpers/until.js';
import { Attacker } from './cost/attacker.js';
import { ROWS, ROWS_OF_GROUPS } from './cost/rows.js';
import { HEADERS, LOW, openFiller, print, startRig, TOKEN, type Started } from './rig.js';

const [INSTANCES, WATCHERS] = [20_000, 500];
const LONGEST_TURN_MS = 50;
const HEARTBEAT_P99_MS = 100;
const ROW_MS = 20_000;
const OTHER = 'another-token-of-this-run';

interface Seen {
  livez: number;
  p99: number;
  beats: number;
  refused: number;
}

async function tell<T>(child: ChildProcess, question: string): Promise<T> {
  child.send(question);
  return ((await once(child, 'message')) as [T])[0];
}

const rig = await startRig();
const chosen = process.argv.slice(2);
const lines: string[] = [];
/** Others have the machine: a heartbeat waits for longer than it may when nothing at all is sent. Then only time at work is judged. */
let starved = true;

/** What one row cost: a line of the table. */
async function row(name: string, gateway: Started, others: ChildProcess, attacker: Attacker, act: () => Promise<unknown>) {
  const replica = gateway.child;
  await tell(replica, 'turns');
  others.send('begin');
  await Promise.race([act(), sleep(ROW_MS)]);
  await sleep(300);
  const { longest, beatMs, rssMb } = await tell<{ longest: number; beatMs: number; rssMb: number }>(replica, 'turns');
  const { livez, p99, beats, refused } = await tell<Seen>(others, 'tell');
  const good = longest <= LONGEST_TURN_MS && beatMs <= HEARTBEAT_P99_MS && (starved || p99 <= HEARTBEAT_P99_MS) && refused === 0;
  if (!good) process.exitCode = 1;
  attacker.leave();
  const line = `| ${name} | ${longest.toFixed(0)} | ${beatMs.toFixed(0)} | ${livez.toFixed(0)} | ${p99.toFixed(0)} | ${refused} of ${beats} | ${rssMb.toFixed(0)} | ${attacker.told()} | ${good ? '' : 'over'} |`;
  print(line);
  lines.push(line);
  return p99;
}

async function firstChange(gateway: Started): Promise<string> {
  const revision = String((await fetch(`${gateway.url}/sd/v1/instances?limit=1`, { headers: HEADERS })).headers.get('x-revision'));
  const [oldest] = await rig.raw.xrange('service:events', '-', '+', 'COUNT', 1);
  return `${revision.slice(0, revision.indexOf('.'))}.${oldest?.[0]}`;
}

/** Longest turns of a bare Node server when 3,000 streams begin at once, and when they end at once, the medians of five times: what no gateway on Node can be below. */
async function bareTurns(): Promise<{ opening: number; closing: number }> {
  const server = fork('bench/cost/bare-streams.mjs', [], { execArgv: ['--import', './bench/cost/turns.mjs'] });
  const [{ port }] = (await once(server, 'message')) as [{ port: number }];
  const [opening, closing]: [number[], number[]] = [[], []];
  const longest = async () => (await tell<{ longest: number }>(server, 'turns')).longest;
  for (let round = 0; round < 5; round++) {
    const crowd = fork('bench/watch-crowd.mjs', [String(port), '/', TOKEN, '3000', '0'], { execArgv: [] });
    await sleep(3000);
    opening.push(await longest());
    crowd.kill('SIGKILL');
    await sleep(500);
    closing.push(await longest());
  }
  server.disconnect();
  const median = (all: number[]) => all.sort((a, b) => a - b)[2] as number;
  return { opening: median(opening), closing: median(closing) };
}

function write(bare: { opening: number; closing: number }) {
  writeFileSync('bench/cost.md', `# What one caller costs the others

\`npm run cost\`, ${new Date().toISOString().slice(0, 10)}: one replica with its defaults, ${INSTANCES} instances, ${WATCHERS} watchers, two cores for everything, of which those who send get what the others leave. A turn is what the event loop was at work for in one
go, and a heartbeat's work what it was at work for between that heartbeat and its answer, both by the clock of the processor. /livez, asked every 5 ms, and heartbeats, 50 a second from others, are by the clock on the wall,
so they tell of the machine too: the first row is of nothing at all, and where a heartbeat takes longer than ${HEARTBEAT_P99_MS / 2} ms then (as ${starved ? 'here' : 'it did not here'}), the wall is not judged.
Bars: a turn of ${LONGEST_TURN_MS} ms, heartbeats within ${HEARTBEAT_P99_MS} ms (p99), none refused.

What is over by Node itself: the longest turn of 3,000 watchers is the one in which they all leave, and a bare Node server was held for ${bare.closing.toFixed(0)} ms by 3,000 streams that
end at once, as it was for ${bare.opening.toFixed(0)} ms by 3,000 that begin at once (medians of five): Node accepts and closes in one turn what the kernel reports in one.

| one caller sends | longest turn, ms | heartbeats: work, p99, ms | slowest /livez, ms | heartbeats: wall, p99, ms | refused | memory, MB | it is answered | |
|---|---|---|---|---|---|---|---|---|
${lines.join('\n')}
`);
}

try {
  const filler = await openFiller(rig.redisUrl);
  await filler.fill('near', INSTANCES, 100);
  const gateway = await rig.startGateway({ API_TOKENS: `${TOKEN},${OTHER}` }, ['--import', './bench/cost/turns.mjs', ...(process.env.PROF ? ['--cpu-prof', '--cpu-prof-dir', process.env.PROF] : [])]);
  const others = fork('bench/cost/others.mjs', [String(gateway.port), OTHER], { execArgv: [] });
  setPriority(LOW); // and so for whatever is begun from here on: a caller has a machine of its own
  const attacker = new Attacker(gateway, await firstChange(gateway));
  const watchers = fork('bench/watch-crowd.mjs', [String(gateway.port), '/sd/v1/watch?type=game&group=near-0', OTHER, String(WATCHERS), '0'], { execArgv: [] });
  await once(watchers, 'message');
  await sleep(2000);
  const run = async (rows: typeof ROWS) => {
    for (const [name, act] of Object.entries(rows)) {
      if (chosen.length === 0 || chosen.some((part) => name.includes(part))) await row(name, gateway, others, attacker, () => act(attacker));
      await sleep(1000);
    }
  };
  starved = (await row('nothing', gateway, others, attacker, () => sleep(3000))) > HEARTBEAT_P99_MS / 2;
  await run(ROWS);
  if (chosen.length === 0 || chosen.some((part) => Object.keys(ROWS_OF_GROUPS).some((name) => name.includes(part)))) {
    await filler.fill('lone', 20_000, 1);
    await until(async () => (await fetch(`${gateway.url}/sd/v1/instances/lone-19999`, { headers: HEADERS })).status === 200, 30_000);
    await run(ROWS_OF_GROUPS);
  }
  filler.close();
  watchers.kill();
  others.kill();
  if (chosen.length === 0) write(await bareTurns());
} finally {
  await rig.close();
}
