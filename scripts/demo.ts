// `npm run demo`: two servers register, one is killed, its ghost is swept. Real processes: a gateway with a Redis of its
// own, and two servers that beat. This file is all three, so that each ends when the demo does, however that ends.
import { fork, type ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const TTL_SECONDS = 3;
const GIVE_UP_MS = 55_000;
const GROUP = { type: 'game', group: 'demo' };

/** What a server says to the demo. */
interface Told {
  instanceId?: string;
  beats?: number;
}

const [role = 'demo', base = '', token = '', name = ''] = process.argv.slice(2);

async function call(method: string, path: string, body?: object, [url, secret] = [base, token]) {
  const headers = { 'X-API-Token': secret, ...(body && { 'Content-Type': 'application/json' }) };
  return fetch(url + path, { method, headers, ...(body && { body: JSON.stringify(body) }), signal: AbortSignal.timeout(5000) });
}

/** What a server does: register, beat, and say goodbye when it is asked to stop. */
async function server() {
  const registered = await call('POST', '/sd/v1/instances', { ...GROUP, hostname: name, ttlSeconds: TTL_SECONDS });
  const { instanceId, incarnation, heartbeatIntervalMs } = (await registered.json()) as Record<string, string>;
  process.send?.({ instanceId });
  const goodbye = async () => {
    await call('DELETE', `/sd/v1/instances/${instanceId}?incarnation=${incarnation}`);
    process.exit(0);
  };
  process.once('SIGTERM', () => void goodbye());
  for (let beats = 1; ; beats++) {
    await sleep(Number(heartbeatIntervalMs));
    const { status } = await call('POST', `/sd/v1/instances/${instanceId}/heartbeat`, { incarnation });
    if (status !== 200) throw new Error(`a heartbeat was answered ${status}`);
    process.send?.({ beats });
  }
}

/** The gateway as `npm start` runs it. */
async function gateway() {
  process.argv.length = 2; // `gateway` is this script's argument, not the gateway's own
  await import(new URL('start.mjs', import.meta.url).href);
}

const startedAt = performance.now();
const say = (line: string) => process.stdout.write(`${((performance.now() - startedAt) / 1000).toFixed(1).padStart(5)} s  ${line}\n`);
const children: ChildProcess[] = [];

function launch(args: string[], env: NodeJS.ProcessEnv = {}) {
  const { PATH, HOME, TMPDIR } = process.env;
  const child = fork(fileURLToPath(import.meta.url), args, { env: { PATH, HOME, TMPDIR, ...env }, stdio: ['ignore', 'pipe', 'pipe', 'ipc'] });
  let said = '';
  for (const stream of [child.stdout, child.stderr]) stream?.on('data', (chunk: Buffer) => (said += chunk.toString()));
  children.push(child);
  return { child, said: () => said, ended: () => child.exitCode !== null || child.signalCode !== null };
}

let waitingFor = '';

/** Asks again until the answer is not undefined, or somebody whom we wait for is gone. */
async function awaited<T>(what: string, ask: () => Promise<T | undefined> | T | undefined, alive: ReturnType<typeof launch>[]): Promise<T> {
  waitingFor = what;
  for (;;) {
    const answer = await ask();
    if (answer !== undefined) return answer;
    const gone = alive.find((one) => one.ended());
    if (gone) throw new Error(`waiting for ${what}: process ${gone.child.pid} ended. It said:\n${gone.said()}`);
    await sleep(50);
  }
}

async function startGateway(secret: string) {
  const env = { API_TOKENS: secret, PORT: '0', SWEEP_INTERVAL_MS: '500', LOG_LEVEL: 'warn' };
  const started = launch(['gateway'], env);
  const [, url = '', engine = ''] = await awaited('the gateway', () => /listens on (\S+) +\(([^,]+)/.exec(started.said()) ?? undefined, [started]);
  say(`a gateway listens on ${url}, with a ${engine} of its own (process ${started.child.pid})`);
  return { ...started, url };
}

async function startServer(url: string, secret: string, hostname: string) {
  const started = launch(['server', url, secret, hostname]);
  const told: Told = {};
  started.child.on('message', (message: Told) => Object.assign(told, message));
  const id = await awaited(`${hostname} to register`, () => told.instanceId, [started]);
  say(`${hostname} registers as ${id}, for ${TTL_SECONDS} s unless it beats (process ${started.child.pid})`);
  return { ...started, hostname, id, told };
}

/** Says what a watcher is told, as it is told. Ends with the gateway. */
async function watch(url: string, secret: string) {
  const reply = await fetch(`${url}/sd/v1/watch?type=${GROUP.type}`, { headers: { 'X-API-Token': secret } });
  const decoder = new TextDecoder();
  let text = '';
  for await (const chunk of reply.body as AsyncIterable<Uint8Array>) {
    const frames = (text + decoder.decode(chunk, { stream: true })).split('\n\n');
    text = frames.pop() ?? '';
    for (const frame of frames) {
      const [, event, data = '{}'] = /^event: (\w+)\ndata: (.*)$/m.exec(frame) ?? [];
      const { instance } = JSON.parse(data) as { instance?: { hostname: string } };
      if (instance) say(`    (a watcher is told: ${event} ${instance.hostname})`);
    }
  }
}

async function demo() {
  const secret = randomBytes(24).toString('base64url');
  say('starting a gateway');
  const running = await startGateway(secret);
  watch(running.url, secret).catch(() => undefined);
  const ask = (method: string, path: string) => call(method, path, undefined, [running.url, secret]);
  const listed = async () => {
    const { instances } = (await (await ask('GET', `/sd/v1/instances?type=${GROUP.type}&group=${GROUP.group}&consistency=strong`)).json()) as { instances: { hostname: string }[] };
    return instances.map(({ hostname }) => hostname).sort().join(', ');
  };
  const insist = async (expected: string) => {
    const found = await listed();
    if (found !== expected) throw new Error(`discover should list '${expected}', not '${found}'`);
    say(`discover lists: ${found || 'nobody'}`);
  };

  const one = await startServer(running.url, secret, 'game-1');
  const two = await startServer(running.url, secret, 'game-2');
  await insist('game-1, game-2');
  await awaited('heartbeats', () => ((one.told.beats ?? 0) >= 2 && (two.told.beats ?? 0) >= 2) || undefined, [running, one, two]);
  say('both have sent two heartbeats');

  two.child.kill('SIGKILL');
  await once(two.child, 'exit');
  say('game-2 is killed (SIGKILL): it cannot say goodbye, and is a ghost now');
  await awaited('the ghost to leave discover', async () => (await listed()) === 'game-1' || undefined, [running, one]);
  await insist('game-1');
  const swept = async () => /^rollcall_evictions_total 1$/m.test(await (await ask('GET', '/metrics')).text());
  await awaited('the sweep', async () => (await swept()) || undefined, [running, one]);
  say('the sweep has evicted game-2: one eviction counted');
  const late = await ask('POST', `/sd/v1/instances/${two.id}/heartbeat`);
  const { code } = (await late.json()) as { code: string };
  if (late.status !== 404) throw new Error(`a heartbeat for a swept instance was answered ${late.status}`);
  say(`a late heartbeat of game-2 is answered ${late.status} ${code}: it would have to register again`);

  one.child.kill('SIGTERM');
  await once(one.child, 'exit');
  say('game-1 is asked to stop, and removes itself');
  await insist('');
}

/** Ends what was started, the youngest first, and waits until it is gone. */
async function close() {
  for (const child of children.reverse()) {
    if (child.exitCode !== null || child.signalCode !== null) continue;
    const gone = once(child, 'exit');
    child.kill('SIGTERM');
    const harder = setTimeout(() => child.kill('SIGKILL'), 10_000);
    await gone;
    clearTimeout(harder);
  }
}

async function main() {
  const interrupted = Promise.race([once(process, 'SIGINT'), once(process, 'SIGTERM')]).then(() => {
    throw new Error('interrupted');
  });
  const late = sleep(GIVE_UP_MS, undefined, { ref: false }).then(() => {
    throw new Error(`not done within ${GIVE_UP_MS / 1000} s, last waiting for ${waitingFor}`);
  });
  try {
    await Promise.race([demo(), interrupted, late]);
    await close();
    say('done: no process is left');
  } catch (error) {
    await close();
    process.stderr.write(`the demo failed: ${(error as Error).message}\n`);
    process.exitCode = 1;
  }
  process.exit();
}

process.on('disconnect', () => process.kill(process.pid, role === 'gateway' ? 'SIGTERM' : 'SIGKILL')); // the demo itself is gone
if (role === 'gateway') await gateway();
else if (role === 'server') await server();
else await main();
