import { expect, inject, onTestFinished, test } from 'vitest';
import { createConnection } from '../../src/redis/connect/connection.js';
import { parseRedisUrl } from '../../src/redis/connect/url.js';
import { silent } from '../helpers/gateway.js';
import { openGate } from '../helpers/redis-gate.js';

const RULE = { timeout: 20_000 };

/** Holds up the whole process: nothing is read and no timer runs meanwhile. */
const holdUp = (ms: number) => void Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);

async function connected(url: string) {
  const connection = createConnection('reader', { target: parseRedisUrl(url) }, silent);
  onTestFinished(() => connection.disconnect());
  await connection.connect();
  const seen = { closed: 0 };
  connection.on('close', () => seen.closed++);
  return { connection, seen };
}

test('a process that was held up keeps its connections to Redis: what they answered meanwhile is read first', RULE, async () => {
  const { connection, seen } = await connected(inject('redisUrl'));
  await new Promise((resolve) => setTimeout(resolve, 1000)); // what came while it connected is no longer news
  await new Promise((resolve) => setImmediate(resolve)); // from here timers come before sockets
  const asked = connection.ping().catch(() => undefined); // the time limit of the command itself is over, too
  holdUp(3200);
  await asked;
  await connection.ping();
  expect(seen.closed).toBe(0);
});

test('a connection whose other end is gone, and does not say so, is left and made anew', RULE, async () => {
  const gate = await openGate(Number(new URL(inject('redisUrl')).port));
  onTestFinished(() => gate.close());
  const { connection } = await connected(`redis://127.0.0.1:${gate.port}`);
  gate.halt();
  const closed = new Promise((resolve) => connection.once('close', resolve));
  const asked = connection.ping().catch(() => undefined);
  await closed;
  gate.mend();
  await new Promise((resolve) => connection.once('ready', resolve));
  expect(await connection.ping()).toBe('PONG');
  await asked;
});
