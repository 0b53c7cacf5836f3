import { spawn } from 'node:child_process';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { EventSource } from 'eventsource';
import { describe, expect, onTestFinished, test } from 'vitest';
import { startFleet } from '../helpers/fleet.js';
import { buildGateway, registration, TOKEN } from '../helpers/gateway.js';
import { FrameParser, type Frame } from '../helpers/sse.js';
import { until } from '../helpers/until.js';

const KINDS = ['snapshot', 'registered', 'updated', 'removed', 'expired', 'bookmark', 'reset'];

interface Message {
  event: string;
  id: string;
  data: string;
}

/** The npm package as its README shows it: the token is a header. */
function eventSource(url: string) {
  const source = new EventSource(url, { fetch: (input, init) => fetch(input, { ...init, headers: { ...init.headers, 'X-API-Token': TOKEN } }) });
  onTestFinished(() => source.close());
  const messages: Message[] = [];
  const states = { opened: 0, errors: [] as (number | undefined)[] };
  source.addEventListener('open', () => states.opened++);
  source.addEventListener('error', (error) => states.errors.push(error.code));
  for (const event of KINDS) source.addEventListener(event, ({ lastEventId: id, data }) => messages.push({ event, id, data: data as string }));
  const told = () => messages.filter(({ event }) => !['snapshot', 'bookmark'].includes(event));
  return { source, messages, states, told };
}

describe('the npm package eventsource', () => {
  test('watches with a token header, and is told each change under its own name', async () => {
    const { app, call } = await buildGateway();
    const { source, messages, states, told } = eventSource(`http://127.0.0.1:${(app.server.address() as AddressInfo).port}/sd/v1/watch?group=kr-1`);
    await until(() => messages.length === 1);
    expect([source.readyState, states]).toEqual([EventSource.OPEN, { opened: 1, errors: [] }]);
    expect(messages[0]).toMatchObject({ event: 'snapshot', data: expect.stringContaining('"instances":[]') as string });
    const { body } = await call.post('/instances').send(registration({ instanceId: 'a', customState: '서울 €' })).expect(201);
    await call.patch('/instances/a').send({ status: 'error' }).expect(200);
    await call.delete('/instances/a').expect(204);
    await until(() => told().length === 3);
    expect(told().map(({ event }) => event)).toEqual(['registered', 'updated', 'removed']);
    expect(told()[0]?.id).toBe(body.revision);
    expect(JSON.parse(told()[0]?.data ?? '')).toMatchObject({ instance: { instanceId: 'a', customState: '서울 €' } });
  });

  test('comes back by itself when its replica is restarted or killed behind HAProxy, and misses nothing', { timeout: 90_000 }, async () => {
    const fleet = await startFleet({ size: 2 });
    onTestFinished(fleet.stop);
    const balancer = await fleet.startBalancer();
    const sources = Array.from({ length: 4 }, () => eventSource(`${balancer.url}/sd/v1/watch`));
    await until(() => sources.every(({ messages }) => messages.length === 1));
    const written: string[] = [];
    const register = async (instanceId: string) => {
      const reply = await fleet.call(0).post('/instances').send(registration({ instanceId, ttlSeconds: 600 }));
      if (reply.status === 201) written.push(reply.body.revision as string);
      return reply.status;
    };
    const [first, second] = fleet.members;
    if (!first || !second) throw new Error('no replicas');
    for (let i = 0; i < 10; i++) await register(`before-${i}`);

    second.replica.signal('SIGTERM');
    const exited = second.replica.exit();
    for (let i = 0; i < 30; i++) await register(`drain-${i}`);
    expect((await exited).code).toBe(0);
    for (let i = 0; i < 10; i++) await register(`gone-${i}`);
    await until(() => sources.every(({ told }) => told().length === written.length), 15_000);

    await second.start();
    await until(async () => (await balancer.up('strict')).length === 2);
    await first.replica.kill(); // without a word
    await until(async () => (await balancer.up('strict')).length === 1);
    await first.start();
    for (let i = 0; i < 10; i++) expect(await register(`after-${i}`)).toBe(201);
    await until(() => sources.every(({ told }) => told().length === written.length), 15_000);

    for (const { told, messages, states, source } of sources) {
      expect(told().map(({ id }) => id)).toEqual(written);
      expect(messages.filter(({ event }) => event === 'snapshot' || event === 'reset')).toHaveLength(1);
      expect(source.readyState).toBe(EventSource.OPEN);
      expect(states.errors.filter((code) => code !== undefined)).toEqual([]); // no answer but 200
    }
    expect(sources.every(({ states }) => states.opened >= 2)).toBe(true);
  });
});

describe('curl -N', () => {
  /** curl as somebody types it, and the frames that it prints. */
  function curl(url: string, ...more: string[]) {
    const child = spawn('curl', ['-sSNv', '-H', `X-API-Token: ${TOKEN}`, ...more, url], { stdio: ['ignore', 'pipe', 'pipe'] });
    const failed = once(child, 'error').then(([error]) => Promise.reject(error as Error));
    failed.catch(() => undefined);
    const ended = once(child, 'close').then(([code]) => code as number);
    onTestFinished(async () => {
      child.kill('SIGKILL');
      await ended;
    });
    const frames: Frame[] = [];
    const parser = new FrameParser((frame) => frames.push(frame));
    const said = { head: '' };
    child.stdout.setEncoding('utf8').on('data', (chunk: string) => parser.push(chunk));
    child.stderr.setEncoding('utf8').on('data', (chunk: string) => (said.head += chunk));
    const count = (n: number) => Promise.race([failed, until(() => frames.length >= n)]);
    return { frames, parser, said, count, ended };
  }

  test('prints a watch as it goes on, resumes by a header, and ends well with the replica', async () => {
    const { app, call } = await buildGateway();
    const url = `http://127.0.0.1:${(app.server.address() as AddressInfo).port}/sd/v1/watch`;
    const watch = curl(url);
    await watch.count(1);
    expect(watch.frames[0]?.event).toBe('snapshot');
    expect(watch.said.head).toMatch(/^< HTTP\/1\.1 200 OK\r$/m);
    expect(watch.said.head).toMatch(/^< content-type: text\/event-stream; charset=utf-8\r$/im);
    const { body } = await call.post('/instances').send(registration({ instanceId: 'a' })).expect(201);
    const answered = performance.now();
    await watch.count(2);
    expect((watch.frames[1]?.at ?? Infinity) - answered).toBeLessThan(500);
    expect(watch.frames[1]).toMatchObject({ event: 'registered', id: body.revision });
    await call.delete('/instances/a').expect(204);
    const resumed = curl(url, '-H', `Last-Event-ID: ${body.revision}`);
    await resumed.count(1);
    expect(resumed.frames.map(({ event }) => event)).toEqual(['removed']);
    const idle = setInterval(() => app.server.closeIdleConnections(), 50);
    onTestFinished(() => clearInterval(idle));
    await app.close();
    expect([await watch.ended, await resumed.ended]).toEqual([0, 0]);
    expect(watch.parser.retry).toBeGreaterThanOrEqual(1000);
  });
});
