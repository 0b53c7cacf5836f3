import { once } from 'node:events';
import { Agent, request } from 'node:http';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, test, type TestContext } from 'vitest';
import { startFleet } from '../helpers/fleet.js';
import { registration, TOKEN } from '../helpers/gateway.js';
import type { Replica } from '../helpers/replicas.js';
import { send } from '../helpers/steady-load.js';
import { until } from '../helpers/until.js';

const EXIT_WITHIN_MS = 10_000;

async function startOne({ onTestFinished }: TestContext) {
  const fleet = await startFleet({ size: 1 });
  onTestFinished(fleet.stop);
  const [member] = fleet.members;
  if (!member) throw new Error('no replica');
  return { ...fleet, replica: member.replica };
}

/** A registration that the replica has begun to read; the rest of its body comes with `finish`. */
async function openRegistration({ url }: Replica) {
  const body = JSON.stringify(registration({ instanceId: 'in-flight' }));
  const headers = { 'x-api-token': TOKEN, 'content-type': 'application/json', 'content-length': Buffer.byteLength(body), expect: '100-continue' };
  const sent = request(`${url}/sd/v1/instances`, { method: 'POST', headers, agent: new Agent({ keepAlive: true }) });
  const status = new Promise<number>((resolve, reject) => {
    sent.on('error', reject).on('response', (response) => response.resume().on('end', () => resolve(response.statusCode ?? 0)).on('error', reject));
  });
  status.catch(() => undefined);
  sent.flushHeaders();
  await once(sent, 'continue');
  return { status, finish: () => sent.end(body) };
}

const refused = ({ port }: Replica) =>
  new Promise<boolean>((resolve) => {
    const socket = connect({ host: '127.0.0.1', port });
    socket.once('connect', () => resolve(false)).once('error', () => resolve(true));
    socket.once('connect', () => socket.destroy());
  });

// Mostly waiting, so side by side: but for the start of five replicas at once.
describe.concurrent('SIGTERM', { timeout: 60_000 }, () => {
  test('not ready at once, a request in flight is finished, idle sockets are closed, and the process ends with 0', async (context) => {
    const { expect } = context;
    const { replica } = await startOne(context);
    const idle = new Agent({ keepAlive: true });
    expect((await send(idle, `${replica.url}/livez`)).status).toBe(200);
    const slow = await openRegistration(replica);

    replica.signal('SIGTERM');
    const exit = replica.exit();
    await until(async () => (await fetch(`${replica.url}/readyz`)).status === 503);
    const late = await fetch(`${replica.url}/sd/v1/instances`, { headers: { 'x-api-token': TOKEN } });
    expect([late.status, late.headers.get('connection')]).toEqual([200, 'close']); // still served, told to go elsewhere

    await until(() => refused(replica));
    slow.finish();
    expect(await slow.status).toBe(201);
    const { code, ms } = await exit;
    expect({ code, inTime: ms < EXIT_WITHIN_MS }).toEqual({ code: 0, inTime: true });
  });

  test('under callers with keep-alive sockets: whatever was done was answered, whatever was answered was done', async (context) => {
    const { expect } = context;
    const { replica, raw, keys } = await startOne(context);
    const answered: string[] = [];
    const errors: string[] = [];
    const call = async (_: unknown, n: number) => {
      const agent = new Agent({ keepAlive: true, maxSockets: 1 });
      for (let i = 0; errors.at(-1) !== 'ECONNREFUSED'; i++) {
        const id = `caller-${n}-${i}`;
        const body = JSON.stringify(registration({ instanceId: id }));
        await send(agent, `${replica.url}/sd/v1/instances`, 'POST', body).then(
          ({ status }) => (status === 201 ? answered.push(id) : errors.push(`${status}`)),
          (error: NodeJS.ErrnoException) => errors.push(error.code ?? error.message),
        );
        await sleep(5);
      }
    };
    const callers = Array.from({ length: 8 }, call);
    await until(() => answered.length > 50);
    replica.signal('SIGTERM');
    await Promise.all(callers);

    const { code } = await replica.exit();
    expect(code).toBe(0);
    expect((await raw.zrange(keys.leases, '0', '-1')).map((member) => member.split(':')[2]).sort()).toEqual(answered.sort());
    expect(errors.filter((error) => error !== 'ECONNREFUSED' && error !== 'ECONNRESET')).toEqual([]); // met a closed door, and nothing else
  });

  test.for([
    { state: 'dead', signal: 'SIGKILL' },
    { state: 'frozen', signal: 'SIGSTOP' },
  ] as const)('SIGTERM while Redis is $state: the process ends with 0 within 10 s', async ({ signal }, context) => {
    const { expect } = context;
    const { replica, redis } = await startOne(context);
    redis.signal(signal);
    await until(async () => (await fetch(`${replica.url}/readyz?require=redis`)).status === 503);
    replica.signal('SIGTERM');
    const { code, ms } = await replica.exit();
    expect({ code, inTime: ms < EXIT_WITHIN_MS }).toEqual({ code: 0, inTime: true });
    expect(replica.log.at(-1)).toContain('stopped');
  });

  test('with a caller that never finishes its request: the process still ends within 10 s', async (context) => {
    const { expect } = context;
    const { replica } = await startOne(context);
    await openRegistration(replica);
    replica.signal('SIGTERM');
    const { code, ms } = await replica.exit();
    expect({ code, inTime: ms < EXIT_WITHIN_MS }).toEqual({ code: 0, inTime: true });
  });
});
