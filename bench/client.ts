// `npx tsx bench/client.ts`: gateways killed, frozen and restarted in turn, every 5 s for two minutes, under a client that makes 200 picks a second of backends that die
// and come, and watches all changes. Backends are sessions in this process; one that dies stops without a word. What must be so: see the last lines.
import { setTimeout as sleep } from 'node:timers/promises';
import { catalog, createClient, join, type Session } from '../src/client/index.js';
import { freePort } from '../test/helpers/ports.js';
import { print, startRig, TOKEN, type Started } from './rig.js';

const [SECONDS, STRIKE_MS, BACKENDS, TTL_SECONDS] = [Number(process.env.SECONDS ?? 120), 5000, 20, 5];
const PICKS_PER_SECOND = 200;

const rig = await startRig();
const ports = [await freePort(), await freePort(), await freePort()];
const gateways: (Started | undefined)[] = [];
const start = async (i: number) => (gateways[i] = await rig.startGateway({ PORT: String(ports[i]) }));
await Promise.all(ports.map((_, i) => start(i)));
const baseURL = ports.map((port) => `http://127.0.0.1:${port}`);
const client = createClient({ baseURL, apiToken: TOKEN, ttlSeconds: TTL_SECONDS });

interface Backend {
  session: Session;
  own: ReturnType<typeof createClient>;
  deadAt?: number;
}
const backends = new Map<string, Backend>();
const seen = { leasesLost: 0, picks: 0, none: 0, toDead: 0, toLongDead: 0, threw: 0, strikes: 0, deaths: 0 };
async function begin() {
  const own = createClient({ baseURL: [...baseURL].sort(() => Math.random() - 0.5), apiToken: TOKEN, ttlSeconds: TTL_SECONDS, heartbeatIntervalMs: 1000 });
  const session = join({ type: 'backend', group: 'g', performance: false }, own);
  const backend: Backend = { session, own };
  session.on('lost', () => (backend.deadAt === undefined ? seen.leasesLost++ : 0));
  backends.set(session.instanceId, backend);
  await session.registered;
}
await Promise.all(Array.from({ length: BACKENDS }, begin));

const heard: string[] = [];
const stop = new AbortController();
const watching = (async () => {
  for await (const { event, data } of client.watch({ type: 'backend' }, { signal: stop.signal })) {
    if (event === 'registered' || event === 'removed' || event === 'expired' || event === 'updated') heard.push(data.revision);
    if (event === 'reset') print(`reset: ${data.reason}`);
  }
})();
const backendsSeen = catalog({ type: 'backend', group: 'g' }, client);
await backendsSeen.ready;

const until = performance.now() + SECONDS * 1000;
const struck = (async () => {
  for (let turn = 0; performance.now() < until; turn++, await sleep(STRIKE_MS)) {
    const i = turn % gateways.length;
    const gateway = gateways[i] as Started;
    seen.strikes++;
    if (turn % 2 === 0) {
      gateway.child.kill('SIGKILL');
      await sleep(2000);
      await start(i);
    } else {
      gateway.child.kill('SIGSTOP');
      await sleep(4000);
      gateway.child.kill('SIGCONT');
    }
  }
})();
const dying = (async () => {
  while (performance.now() < until) {
    await sleep(3000);
    const living = [...backends.values()].filter(({ deadAt }) => deadAt === undefined);
    const victim = living[Math.floor(Math.random() * living.length)] as Backend;
    victim.deadAt = performance.now();
    seen.deaths++;
    await victim.own.close();
    Object.assign(victim.own.backend, { beat: () => new Promise(() => undefined), announce: () => new Promise(() => undefined) }); // no word more
    void begin();
  }
})();
while (performance.now() < until) {
  await sleep(1000 / PICKS_PER_SECOND);
  try {
    const one = backendsSeen.pick();
    seen.picks++;
    if (!one) {
      seen.none++;
      continue;
    }
    const deadAt = backends.get(one.instanceId)?.deadAt;
    if (deadAt === undefined) continue;
    seen.toDead++;
    if (performance.now() - deadAt > (TTL_SECONDS + 1) * 1000) seen.toLongDead++;
    backendsSeen.report(one);
  } catch {
    seen.threw++;
  }
}
await Promise.all([struck, dying]);
await sleep(2000);
const told: string[] = [];
for (let before: string | undefined; ; ) {
  const reply = await fetch(`${baseURL[0]}/sd/v1/events?type=backend&limit=1000${before ? `&before=${before}` : ''}`, { headers: { 'x-api-token': TOKEN } });
  const { events, next } = (await reply.json()) as { events: { kind: string; revision: string }[]; next?: string };
  told.push(...events.map(({ revision }) => revision));
  if (!next) break;
  before = next;
}
stop.abort();
await watching;
const first = told.indexOf(heard[0] ?? '');
const expected = told.slice(0, first + 1);
const missed = expected.filter((revision) => !heard.includes(revision)).length;
print(JSON.stringify({ ...seen, events: expected.length, missed, twice: heard.length - new Set(heard).size }));
print('must be 0: toLongDead, none, threw, leasesLost, missed, twice');
backendsSeen.close();
for (const { own } of backends.values()) await own.close();
await client.close();
for (const gateway of gateways) gateway?.child.kill('SIGKILL');
await rig.close();
process.exit(0);
