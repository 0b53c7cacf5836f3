import { once } from 'node:events';
import { Agent, request, type IncomingMessage } from 'node:http';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { startFleet, type Fleet } from '../helpers/fleet.js';
import { eventsIn } from '../helpers/events.js';
import { caller, registration, TOKEN } from '../helpers/gateway.js';
import type { Balancer } from '../helpers/haproxy.js';
import { openWatch, type Watch } from '../helpers/sse.js';
import { until } from '../helpers/until.js';
import { WatchLog, type StreamEntry } from '../helpers/watch-log.js';

let fleet: Fleet;
let balancer: Balancer;

beforeAll(async () => {
  fleet = await startFleet({ size: 2 });
  balancer = await fleet.startBalancer();
}, 60_000);
afterAll(() => fleet.stop());

const call = () => caller(balancer.url, TOKEN);
const register = (instanceId: string, fields: object = {}) => call().post('/instances').send(registration({ instanceId, ttlSeconds: 600, ...fields }));
const headers = { 'x-api-token': TOKEN };

function watch(query = '', options: Parameters<typeof openWatch>[1] = {}): Watch {
  const opened = openWatch(`${balancer.url}/sd/v1/watch${query}`, { headers, ...options });
  onTestFinished(() => opened.cut());
  return opened;
}

const metricOf = async (i: number, name: string) => Number(new RegExp(`^${name} (\\d+)`, 'm').exec((await fleet.call(i).get('//metrics')).text)?.[1]);

async function truth(): Promise<StreamEntry[]> {
  const epoch = await fleet.raw.hget(fleet.keys.epoch, 'id');
  const ids = (await fleet.raw.xrange(fleet.keys.events, '-', '+')).map(([id]) => id);
  return (await eventsIn(fleet.raw, fleet.keys.events)).map((event, i) => ({ ...event, kind: event.kind ?? '', revision: `${epoch}.${ids[i]}` }));
}

/** A watch that comes back by itself as EventSource does, until it is stopped. */
function lasting(log: WatchLog) {
  const statuses: number[] = [];
  let current: Watch | undefined;
  let stopped = false;
  const run = async () => {
    while (!stopped) {
      current = openWatch(`${balancer.url}/sd/v1/watch`, { headers, lastEventId: log.connect(), onFrame: (frame) => log.accept(frame) });
      await current.ended;
      statuses.push(current.status);
      if (!stopped) await sleep(current.retry ?? 1000);
    }
  };
  const running = run();
  const stop = async () => {
    stopped = true;
    current?.cut();
    await running;
  };
  onTestFinished(stop);
  return { statuses, current: () => current as Watch };
}

const askPoll = (path: string, tag: string) =>
  request(`${balancer.url}/sd/v1${path}`, { headers: { ...headers, 'if-none-match': tag, prefer: 'wait=30' }, agent: new Agent() });

/** A long poll, and when it was answered. */
async function poll(path: string, tag: string): Promise<{ status: number | undefined; body: string; at: number }> {
  const asked = askPoll(path, tag).end();
  const [response] = (await once(asked, 'response')) as [IncomingMessage];
  return { status: response.statusCode, body: await text(response), at: performance.now() };
}

const sum = async (name: string) => (await metricOf(0, name)) + (await metricOf(1, name));
const waitingPolls = async (count: number) => until(async () => (await sum('rollcall_long_polls')) === count);

describe('through HAProxy', () => {
  test('a watch begins at once, and each frame arrives when it is written', async () => {
    const from = performance.now();
    const opened = watch('?type=frames');
    const first = await opened.next();
    expect([first.event, opened.headers['content-type'], opened.headers['transfer-encoding']]).toEqual(['snapshot', 'text/event-stream; charset=utf-8', 'chunked']);
    expect(first.at - from).toBeLessThan(1000);
    const late: number[] = [];
    for (let i = 0; i < 20; i++) {
      await register(`frame-${i}`, { type: 'frames' }).expect(201);
      const answered = performance.now();
      late.push((await opened.next(({ event }) => event === 'registered')).at - answered);
    }
    late.sort((a, b) => a - b);
    expect(late[10]).toBeLessThan(60);
    expect(late.at(-1)).toBeLessThan(500);
  });

  test('a long poll is answered when the content changes, on whichever replica it waits', async () => {
    const path = '/instances?type=polled&group=kr-1';
    const { headers: first } = await call().get(`${path}&consistency=strong`).expect(200);
    const polls = Array.from({ length: 10 }, () => poll(path, first.etag as string));
    await waitingPolls(10);
    await register('polled-1', { type: 'polled' }).expect(201);
    const answered = performance.now();
    for (const { status, body, at } of await Promise.all(polls)) {
      expect([status, body.includes('polled-1')]).toEqual([200, true]);
      expect(at - answered).toBeLessThan(500);
    }
  });

  test('a silent stream stays open beyond 15 seconds, kept by comments', { timeout: 40_000 }, async () => {
    const opened = [watch('?group=quiet'), watch('?group=quiet')];
    for (const one of opened) await one.next(({ event }) => event === 'snapshot');
    await until(() => opened.every(({ comments, frames }) => comments > 0 || frames.some(({ event }) => event === 'bookmark')), 17_000);
    await sleep(2000);
    await register('quiet-1', { group: 'quiet' }).expect(201);
    for (const one of opened) expect((await one.next(({ event }) => event === 'registered')).data).toContain('quiet-1');
  });

  test('a watch is resumed on either replica with what it missed', async () => {
    const opened = watch('?type=resumed');
    await opened.next(({ event }) => event === 'snapshot');
    const { body } = await register('r-0', { type: 'resumed' }).expect(201);
    expect((await opened.next(({ event }) => event === 'registered')).id).toBe(body.revision);
    opened.cut();
    for (const id of ['r-1', 'r-2']) await register(id, { type: 'resumed' }).expect(201);
    for (const { replica } of fleet.members) {
      const again = openWatch(`${replica.url}/sd/v1/watch?type=resumed`, { headers, lastEventId: body.revision as string });
      onTestFinished(() => again.cut());
      expect((await again.next()).data).toContain('r-1');
      expect((await again.next()).data).toContain('r-2');
    }
  });
});

describe('when replicas are drained one after the other', () => {
  test('their watchers go to the other by themselves and miss nothing, and their long polls are answered', { timeout: 90_000 }, async () => {
    const logs = Array.from({ length: 20 }, () => new WatchLog());
    const watchers = logs.map(lasting);
    await until(() => logs.every(({ counts }) => counts.snapshot === 1));
    expect(await metricOf(0, 'rollcall_watchers')).toBeGreaterThan(0);
    expect(await metricOf(1, 'rollcall_watchers')).toBeGreaterThan(0);

    const writing = { on: true, failures: [] as string[], count: 0 };
    const write = async () => {
      for (; writing.on; writing.count++) {
        const { status } = await register(`moving-${writing.count % 50}`, { customState: String(writing.count) });
        if (status >= 300) writing.failures.push(`${status}`);
        await sleep(10);
      }
    };
    const writer = write();
    for (const [i, member] of fleet.members.entries()) {
      const { headers: first } = await call().get('/instances?type=nobody&group=none').expect(200);
      const polls = Array.from({ length: 6 }, () => poll('/instances?type=nobody&group=none', first.etag as string));
      await waitingPolls(6);
      const here = await metricOf(i, 'rollcall_long_polls');
      member.replica.signal('SIGTERM');
      const from = performance.now();
      const { code } = await member.replica.exit();
      const answered = await Promise.all(polls.map((one) => Promise.race([one, sleep(100, undefined)])));
      expect([code, answered.filter((one) => one !== undefined).map(({ status }) => status)]).toEqual([0, Array.from({ length: here }, () => 304)]);
      expect(performance.now() - from).toBeLessThan(10_000);
      await until(async () => (await metricOf(1 - i, 'rollcall_watchers')) >= 20, 15_000);
      await member.start();
      await until(async () => (await balancer.up('strict')).length === 2);
      await register('elsewhere', { type: 'nobody', group: 'none' });
      await Promise.all(polls);
      await call().delete('/instances/elsewhere').expect(204);
      for (const n of fleet.members.keys()) await fleet.call(n).get('/instances?type=nobody&consistency=strong').expect(200); // both have read that
    }
    writing.on = false;
    await writer;
    const all = await truth();
    await until(() => logs.every((log) => log.behind(all) === 0));
    expect(logs.flatMap((log) => log.violations(all))).toEqual([]);
    expect(logs.flatMap(({ resets }) => resets)).toEqual([]);
    expect(watchers.flatMap(({ statuses }) => statuses).filter((status) => status !== 200)).toEqual([]);
    expect(watchers.every(({ statuses }) => statuses.length <= 2)).toBe(true);
    expect(watchers.flatMap(({ statuses }) => statuses).length).toBeGreaterThanOrEqual(20);
    expect(writing.failures).toEqual([]);
    expect(writing.count).toBeGreaterThan(200);
  });
});

describe('a caller that goes', () => {
  test('leaves nothing waiting behind HAProxy: no long poll, no watcher', async () => {
    const path = '/instances?type=nobody&group=none';
    const { headers: first } = await call().get(path).expect(200);
    const watchers = await sum('rollcall_watchers');
    const opened = Array.from({ length: 6 }, () => watch('?type=nobody'));
    for (const one of opened) await one.next(({ event }) => event === 'snapshot');
    const polls = Array.from({ length: 6 }, () => askPoll(path, first.etag as string).on('error', () => undefined).end());
    await waitingPolls(6);
    for (const one of polls) one.destroy();
    for (const one of opened) one.cut();
    await until(async () => (await sum('rollcall_long_polls')) === 0 && (await sum('rollcall_watchers')) <= watchers, 5000);
  });
});
