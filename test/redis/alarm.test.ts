import { expect, inject, onTestFinished, test } from 'vitest';
import { Alarm } from '../../src/redis/log/alarm.js';
import { openReaderConnection } from '../../src/redis/open-store.js';
import { parseRedisUrl } from '../../src/redis/connect/url.js';
import { freshPrefix, openRegistry, silent } from '../helpers/gateway.js';
import { openGate } from '../helpers/redis-gate.js';
import { until } from '../helpers/until.js';

const LONG_MS = 60_000;

/** An alarm over a stream of its own, whose reader has read up to `read.to`. */
async function setAlarm(tickMs: number, url = inject('redisUrl')) {
  const { raw } = await openRegistry();
  const stream = `${freshPrefix()}events`;
  const read = { to: '0-0' };
  const alarm = new Alarm(await openReaderConnection({ target: parseRedisUrl(url) }, silent), stream, tickMs);
  alarm.start(() => read.to);
  onTestFinished(async () => {
    await alarm.stop();
    await raw.del(stream);
  });
  return { alarm, read, add: async () => (await raw.xadd(stream, '*', 'a', 'b')) as string };
}

async function took(wait: Promise<void>): Promise<number> {
  const startedAt = performance.now();
  await wait;
  return performance.now() - startedAt;
}

test('it is time as soon as something new stands in the stream, again and again, and not for what was read already', async () => {
  const { alarm, read, add } = await setAlarm(LONG_MS);
  for (let i = 0; i < 20; i++) {
    const next = took(alarm.next());
    const id = await add();
    expect(await next).toBeLessThan(1000);
    read.to = id;
  }
  let over = false;
  const next = alarm.next().then(() => void (over = true));
  await new Promise((resolve) => setTimeout(resolve, 100)); // nothing can be awaited of what does not happen
  expect(over).toBe(false);
  alarm.ring();
  await next;
});

test('what comes while nobody waits is not forgotten', async () => {
  const { alarm, add } = await setAlarm(LONG_MS);
  await add();
  await until(async () => (await Promise.race([alarm.next().then(() => true), new Promise((resolve) => setTimeout(resolve, 1000, false))])) === true);
  alarm.ring();
  alarm.ring();
  expect(await took(alarm.next())).toBeLessThan(50);
});

test('without news it is time after the tick, also when the connection is dead', async () => {
  const gate = await openGate(Number(new URL(inject('redisUrl')).port));
  onTestFinished(gate.close);
  const { alarm, read, add } = await setAlarm(20, `redis://127.0.0.1:${gate.port}`);
  const waits: number[] = [];
  for (let i = 0; i < 5; i++) waits.push(await took(alarm.next()));
  gate.cut();
  for (let i = 0; i < 5; i++) waits.push(await took(alarm.next()));
  expect(Math.min(...waits)).toBeGreaterThanOrEqual(15);
  gate.mend();
  // Back on the line it tells of news again.
  await until(async () => {
    for (let i = 0; i < 20; i++) await alarm.next();
    const id = await add();
    const ms = await took(alarm.next());
    read.to = id;
    return ms < 15;
  });
});

test('to stop it ends who waits, at once', async () => {
  const { alarm } = await setAlarm(LONG_MS);
  const next = took(alarm.next());
  expect(await took(alarm.stop())).toBeLessThan(1000);
  expect(await next).toBeLessThan(1000);
});
