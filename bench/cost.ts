// `npm run cost [-- row …]`: each hostile input at its limit against one replica with 20,000 instances and 500 watchers, sent by one
// token, while somebody else beats. Prints the longest turn of the replica's event loop, seen as the slowest of GETs of /livez sent
// every 5 ms, and the others' heartbeats; writes bench/cost.md when all rows ran. Some four minutes.
import { fork } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { Agent, request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { HEADERS, openFiller, pace, percentile, print, startRig, TOKEN, type Process } from './rig.js';

const INSTANCES = Number(process.env.INSTANCES ?? 20_000);
const WATCHERS = Number(process.env.WATCHERS ?? 500);
const LONGEST_TURN_MS = 50;
const HEARTBEAT_P99_MS = 100;
const ROW_MS = 5000;

interface Bed {
  gateway: Process;
  /** GET, whatever the answer. */
  get: (path: string, headers?: Record<string, string>) => Promise<number>;
  send: (method: string, path: string, body: string, headers?: Record<string, string>) => Promise<number>;
}

const many = (count: number, act: (i: number) => Promise<unknown>) => Promise.allSettled(Array.from({ length: count }, (_, i) => act(i)));
const patch = ({ send }: Bed, i: number, state: string) => send('PATCH', `/instances/near-${i}`, JSON.stringify({ customState: state }));
const asks = (count: number, path: (i: number) => string) => ({ get }: Bed) => many(count, (i) => get(path(i)));

/** What is sent, by the number of the defect that it was. */
const ROWS: Record<string, (bed: Bed) => Promise<unknown>> = {
  'D2 a Prefer header of blanks': ({ get }) => many(3, () => get('/instances?limit=1', { prefer: `wait=${' '.repeat(7500)}"a"b"` })),
  'D3 a body of 8,000 wrong ports': ({ send }) => many(3, () => send('POST', '/instances', JSON.stringify({ type: 'a', hostname: 'a', ports: Array<string>(8000).fill('x') }))),
  'D3 a batch of 30,000 wrong beats': ({ send }) => many(3, () => send('POST', '/heartbeats', JSON.stringify(Array<object>(30_000).fill({ customState: 1 })))),
  'D4 200 new watchers of everything': ({ gateway }) => crowd(gateway, '/sd/v1/watch', 200, 0, 3000),
  'D4 200 that never read': ({ gateway }) => crowd(gateway, '/sd/v1/watch', 200, 200, 3000),
  'D5 800 long polls by label, 40 changes': async (bed) => {
    const polls = many(800, (i) => bed.get(`/instances?label.zone=z${i}`, { 'if-none-match': 'W/"0-0"', prefer: 'wait=4' }));
    const known = many(800, (i) => bed.get(`/instances?label.zone=z${i}`, { 'if-none-match': '*', prefer: 'wait=4' }));
    await sleep(1000);
    await many(40, (i) => patch(bed, i, `d5-${i}`));
    await Promise.all([polls, known]);
  },
  'D9 50 x events of nobody': asks(50, () => '/events?instanceId=nobody&limit=1'),
  'D9 50 watchers come back with a long gap': ({ gateway }) => crowd(gateway, '/sd/v1/watch?group=near-1', 50, 0, 3000, 'first'),
  'D10 2,000 beats of one id, each another state': ({ send }) =>
    many(2, () => send('POST', '/heartbeats', JSON.stringify(Array.from({ length: 1000 }, (_, i) => ({ instanceId: 'near-3', customState: i % 2 ? 'a' : 'b' }))))),
  'D18 50 x include=offline&limit=1': asks(50, (i) => `/instances?include=offline&limit=1&label.x=${i}`),
  'D19 100 pages of 10,000': asks(100, (i) => `/instances?limit=${10_000 - i}`),
  'D21 1,000 beats with performance': ({ send }) => many(10, () => send('POST', '/heartbeats', JSON.stringify(Array.from({ length: 1000 }, (_, i) => ({ instanceId: `near-${i}`, performance: { text: 'x'.repeat(900) } }))))),
  'S4.3 a field name of 1 MB': ({ send }) => many(3, () => send('POST', '/heartbeats', JSON.stringify([{ instanceId: 'near-1', ['x'.repeat(1_000_000)]: 1 }]))),
  'S4.6 20 batches of 1,000 at once': ({ send }) => many(20, (n) => send('POST', '/heartbeats', JSON.stringify(Array.from({ length: 1000 }, (_, i) => ({ instanceId: `near-${(n * 1000 + i) % INSTANCES}` }))))),
  'S4.7 300 x the documents': ({ get }) => many(300, (i) => get(i % 2 ? '//openapi.json' : '//docs/json')),
  'H4 a body of 60,000 chunks': ({ gateway }) => chunked(gateway, 60_000),
  '1,000 searches for a label of nobody': asks(1000, (i) => `/instances?label.zone=none-${i}`),
  '200 x groups': asks(200, () => '/groups'),
  '200 pages behind the last': asks(200, (i) => `/instances?after=zzz:zzz:${i}&limit=10000`),
};

const agent = new Agent({ keepAlive: true, maxSockets: 2000 });

function call(gateway: Process, method: string, path: string, headers: Record<string, string>, body = ''): Promise<number> {
  const below = path.startsWith('//') ? path.slice(1) : `/sd/v1${path}`;
  return new Promise((resolve, reject) => {
    const sent = request(`${gateway.url}${below}`, { method, agent, headers: { ...HEADERS, ...(body && { 'content-length': String(Buffer.byteLength(body)) }), ...headers } }, (reply) => {
      reply.resume().on('end', () => resolve(reply.statusCode ?? 0)).on('error', reject);
    });
    sent.setTimeout(ROW_MS * 2, () => sent.destroy(new Error('late')));
    sent.on('error', reject).end(body);
  });
}

async function crowd(gateway: Process, path: string, count: number, silent: number, ms: number, from = '') {
  // the crowd writes its path into the first line: a header can follow it
  const target = from ? `${path} HTTP/1.1\r\nLast-Event-ID: ${first}\r\nX-Rest:` : path;
  const child = fork('bench/watch-crowd.mjs', [String(gateway.port), target, TOKEN, String(count), String(silent)]);
  await sleep(ms);
  child.kill();
}

function chunked(gateway: Process, chunks: number): Promise<number> {
  return new Promise((resolve, reject) => {
    const sent = request(`${gateway.url}/sd/v1/instances`, { method: 'POST', agent, headers: HEADERS }, (reply) => void reply.resume().on('end', () => resolve(reply.statusCode ?? 0)));
    sent.on('error', reject);
    for (let i = 0; i < chunks; i++) sent.write(' ');
    sent.end();
  });
}

let first = '';
const firstRevision = (revision: string, id: string) => `${revision.slice(0, revision.indexOf('.'))}.${id}`;

/** The slowest answer of /livez, and what became of somebody else's heartbeats, while `act` goes on. */
async function measure({ gateway }: Bed, act: () => Promise<unknown>) {
  const [alive, beats]: [number[], number[]] = [[], []];
  let refused = 0;
  const timed = async (into: number[], ask: () => Promise<number>) => {
    const startedAt = performance.now();
    const status = await ask();
    into.push(performance.now() - startedAt);
    return status;
  };
  const probe = pace(200, () => timed(alive, () => call(gateway, 'GET', '//livez', {})));
  const beating = pace(50, async (n) => {
    const status = await timed(beats, () => call(gateway, 'POST', `/instances/near-${10_000 + (n % 1000)}/heartbeat`, {})).catch(() => 0);
    if (status !== 200) refused++;
  });
  await Promise.race([act(), sleep(2 * ROW_MS)]);
  await sleep(500);
  probe.stop();
  beating.stop();
  await sleep(300);
  return { turn: Math.max(...alive), p99: percentile(beats, 0.99), refused };
}

const rig = await startRig();
const filler = await openFiller(rig.redisUrl);
const chosen = process.argv.slice(2);
const lines = [`| one caller sends | longest turn, ms | others' heartbeats: p99, ms | refused | |`, '|---|---|---|---|---|'];
try {
  await filler.fill('near', INSTANCES, 100);
  const gateway = await rig.startGateway();
  first = firstRevision(String((await fetch(`${gateway.url}/sd/v1/instances?limit=1`, { headers: HEADERS })).headers.get('x-revision')), (await rig.raw.xrange('service:events', '-', '+', 'COUNT', 1))[0]?.[0] ?? '');
  const bed: Bed = { gateway, get: (path, headers = {}) => call(gateway, 'GET', path, headers), send: (method, path, body, headers = {}) => call(gateway, method, path, headers, body) };
  const watchers = fork('bench/watch-crowd.mjs', [String(gateway.port), '/sd/v1/watch?type=game&group=near-0', TOKEN, String(WATCHERS), '0']);
  await sleep(3000);
  const idle = await measure(bed, () => sleep(3000));
  print(`nothing: longest turn ${idle.turn.toFixed(0)} ms, heartbeats p99 ${idle.p99.toFixed(0)} ms`);
  lines.push(`| nothing | ${idle.turn.toFixed(0)} | ${idle.p99.toFixed(0)} | ${idle.refused} | |`);
  for (const [name, act] of Object.entries(ROWS)) {
    if (chosen.length > 0 && !chosen.some((part) => name.includes(part))) continue;
    const { turn, p99, refused } = await measure(bed, () => act(bed));
    const good = turn <= LONGEST_TURN_MS && p99 <= HEARTBEAT_P99_MS && refused === 0;
    if (!good) process.exitCode = 1;
    const line = `| ${name} | ${turn.toFixed(0)} | ${p99.toFixed(0)} | ${refused} | ${good ? '' : 'over'} |`;
    print(line);
    lines.push(line);
    await sleep(500);
  }
  watchers.kill();
  if (chosen.length === 0) writeFileSync('bench/cost.md', `# What one caller costs the others\n\n\`npm run cost\`: ${INSTANCES} instances, ${WATCHERS} watchers, ${new Date().toISOString().slice(0, 10)}. Bars: a turn of ${LONGEST_TURN_MS} ms, heartbeats of others within ${HEARTBEAT_P99_MS} ms (p99), none refused.\n\n${lines.join('\n')}\n`);
} finally {
  filler.close();
  await rig.close();
  agent.destroy();
}
