import { hostname } from 'node:os';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { expect, onTestFinished, test, vi } from 'vitest';
import { join } from '../../src/client/index.js';
import { openGate, Trap } from '../helpers/redis-gate.js';
import { freePort } from '../helpers/ports.js';
import { buildGateway, registration } from '../helpers/gateway.js';
import { until } from '../helpers/until.js';
import { clientOf, keptLog, openClient } from './helpers.js';

type Session = ReturnType<typeof join>;
const leaving = (session: Session) => {
  onTestFinished(async () => void (await session.leave()));
  return session;
};
const statesOf = (session: Session) => {
  const states: string[] = [];
  session.on('state', ({ state }) => states.push(state));
  return states;
};

test('three words are enough to be found: what is left out is filled, and leaving removes', async () => {
  const { client } = await openClient();
  const session = leaving(join({ type: 'game', group: 'kr-1', ports: [7777] }, client));
  await session.registered;
  const [found] = await client.list({ type: 'game' }, { strong: true });
  expect(found).toMatchObject({ instanceId: session.instanceId, incarnation: session.incarnation, group: 'kr-1', hostname: hostname(), ttlSeconds: 30, status: 'ready' });
  expect(found?.systemInfo).toMatchObject({ os: process.platform, arch: process.arch });
  expect(Object.keys(found?.performance ?? {})).toEqual(['load', 'memoryMb', 'lagMs']);
  expect(found?.privateIp).toBe('127.0.0.1'); // seen by the gateway
  expect(await session.leave()).toBe(true);
  expect(session.state).toBe('left');
  expect(await client.list({ type: 'game' }, { strong: true })).toEqual([]);
});

test('a heartbeat that is answered after it has left keeps the process for nothing', async () => {
  let answer: () => void = () => undefined;
  const held = new Promise<void>((resolve) => (answer = resolve));
  let isCaught = false;
  const late: typeof fetch = async (...args) => {
    const reply = await fetch(...args);
    if (!reply.url.endsWith('/heartbeat')) return reply;
    isCaught = true;
    await held;
    return reply;
  };
  const { client } = await openClient({}, { fetch: late });
  const session = leaving(join({ type: 'game' }, client));
  await session.registered;
  session.updateStatus('shutting_down');
  await until(() => isCaught);
  expect(await session.leave()).toBe(true);
  const timers = vi.spyOn(globalThis, 'setTimeout');
  onTestFinished(() => timers.mockRestore());
  answer();
  for (let turn = 0; turn < 50; turn++) await nextTurn();
  expect(timers.mock.calls.map(([what, ms = 0]) => [ms, String(what)]).filter(([ms]) => Number(ms) > 10_000 && Number(ms) <= 30_000)).toEqual([]);
});

test('a gateway that is down at the start fails nobody: the session registers when it comes', async () => {
  const port = await freePort();
  const { lines, log } = keptLog();
  const session = leaving(join({ type: 'game' }, clientOf({ baseURL: `http://127.0.0.1:${port}`, timeoutMs: 300, log })));
  await until(() => lines.length > 0);
  expect([session.state, lines]).toEqual(['joining', ['not registered yet: trying again']]);
  const { app } = await buildGateway({ fromMemory: true });
  const gate = await openGate((app.server.address() as { port: number }).port, port);
  onTestFinished(gate.close);
  await session.registered;
  expect(lines).toEqual(['not registered yet: trying again', 'registered']);
});

test('who is swept or removed registers again, as the same process', async () => {
  const { lines, log } = keptLog();
  const { client } = await openClient({}, { heartbeatIntervalMs: 200, log });
  const session = leaving(join({ type: 'game' }, client));
  await session.registered;
  const states = statesOf(session);
  const again = new Promise((resolve) => session.on('registeredAgain', resolve));
  await client.remove(session.instanceId);
  await again;
  expect(await client.get(session.instanceId, { strong: true })).toMatchObject({ incarnation: session.incarnation });
  expect(states).toEqual(['lost', 'joined']);
  expect(lines).toEqual(['registered', 'lost', 'registered again']);
});

test('who is superseded stops for good, and does not register again', async () => {
  const { client, call } = await openClient({}, { heartbeatIntervalMs: 200 });
  const session = leaving(join({ type: 'game', instanceId: 'game-1' }, client));
  await session.registered;
  const lost = new Promise((resolve) => session.on('lost', resolve));
  await call.post('/instances').send(registration({ instanceId: 'game-1', incarnation: 'life-2' })).expect(200);
  expect(await lost).toEqual({ reason: 'superseded' });
  expect(session.state).toBe('superseded');
  session.updateStatus('error');
  await session.leave(); // of another process now
  expect(await client.get('game-1', { strong: true })).toMatchObject({ incarnation: 'life-2', status: 'ready' });
});

test('silence makes it unsure after an interval, lost after a lease, and joined again when it ends', { timeout: 20_000 }, async () => {
  const gateway = await openClient();
  const gate = await openGate(Number(new URL(gateway.baseURL).port));
  onTestFinished(gate.close);
  const client = clientOf({ baseURL: `http://127.0.0.1:${gate.port}`, timeoutMs: 400, heartbeatIntervalMs: 300, ttlSeconds: 2 });
  const session = leaving(join({ type: 'game' }, client));
  await session.registered;
  const states = statesOf(session);
  gate.halt();
  const from = performance.now();
  await until(() => session.state === 'lost', 5000);
  expect(performance.now() - from).toBeLessThan(2300);
  gate.cut();
  gate.mend();
  await until(() => session.state === 'joined', 10_000);
  expect(states.slice(0, 2)).toEqual(['unsure', 'lost']);
  await until(async () => (await gateway.client.get(session.instanceId, { strong: true }))?.incarnation === session.incarnation);
});

test('what it says of itself is told at once, and a registration after a loss still says it', async () => {
  const { client } = await openClient({}, { heartbeatIntervalMs: 60_000 });
  const session = leaving(join({ type: 'game', status: 'initializing', customState: 'loading', labels: { map: 'm1', zone: 'a' } }, client));
  await session.registered;
  session.update({ status: 'ready', customState: null, labels: { map: null, mode: 'ranked' } });
  const said = { status: 'ready', labels: { zone: 'a', mode: 'ranked' } };
  await until(async () => (await client.get(session.instanceId, { strong: true }))?.status === 'ready');
  expect(await client.get(session.instanceId, { strong: true })).toMatchObject(said);
  await client.remove(session.instanceId);
  session.update({ labels: { mode: 'casual' } }); // a heartbeat finds that it is unknown
  await until(async () => (await client.get(session.instanceId, { strong: true }))?.labels.mode === 'casual');
  const again = await client.get(session.instanceId, { strong: true });
  expect(again).toMatchObject({ status: 'ready', labels: { zone: 'a', mode: 'casual' } });
  expect(again?.customState).toBeUndefined();
});

test('performance that the gateway refuses is left out, and the lease is kept', async () => {
  const { lines, log } = keptLog();
  const { client } = await openClient({}, { heartbeatIntervalMs: 200, log });
  let junk = false;
  const session = leaving(join({ type: 'game', performance: () => (junk ? { text: 'x'.repeat(5000) } : { tps: 60 }) }, client));
  await session.registered;
  const before = await client.get(session.instanceId, { strong: true });
  junk = true;
  await until(async () => (await client.get(session.instanceId, { strong: true }))?.lastHeartbeat !== before?.lastHeartbeat);
  await until(() => lines.includes('heartbeat refused'));
  expect(session.state).toBe('joined');
});

test('performance that is wrong from the first is no reason not to be there, nor a function for it that throws', async () => {
  const { client } = await openClient();
  for (const performance of [() => ({ text: 'x'.repeat(5000) }), () => { throw new Error('of the caller'); }]) {
    const session = leaving(join({ type: 'game', performance }, client));
    await session.registered;
    expect((await client.get(session.instanceId, { strong: true }))?.performance).toBeUndefined();
  }
});

test('who leaves while its registration is still on its way is removed when that has arrived', async () => {
  const { client, baseURL } = await openClient();
  const gate = await openGate(Number(new URL(baseURL).port));
  onTestFinished(gate.close);
  let release: (() => Promise<void>) | undefined;
  gate.arm(new Trap('POST /sd/v1/instances', (_, letGo) => (release = letGo)));
  const session = join({ type: 'game', privateIp: '192.0.2.1' }, clientOf({ baseURL: `http://127.0.0.1:${gate.port}` }));
  await until(() => release !== undefined);
  await session.leave();
  void release?.();
  await until(async () => (await client.history({ instanceId: session.instanceId })).events.map(({ kind }) => kind).join() === 'removed,registered');
});

test('a token that is refused is no reason to stop: it is told, and tried again slowly', async () => {
  const { lines, log } = keptLog();
  const { baseURL } = await openClient();
  const session = leaving(join({ type: 'game' }, clientOf({ baseURL, apiToken: 'wrong', log })));
  const refused = await new Promise<{ error: unknown }>((resolve) => session.on('refused', resolve));
  expect(refused.error).toMatchObject({ code: 'unauthorized' });
  expect([session.state, lines]).toEqual(['joining', ['registration refused: trying again']]);
});
