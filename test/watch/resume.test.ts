import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, onTestFinished, test } from 'vitest';
import { buildGateway, openRegistry, registration, TOKEN, type GatewaySetup } from '../helpers/gateway.js';
import { eventsIn } from '../helpers/events.js';
import { openGate } from '../helpers/redis-gate.js';
import { startRedis } from '../helpers/redis.js';
import { openWatch, type Frame, type WatchOptions } from '../helpers/sse.js';
import { CALLER, complete } from '../helpers/store.js';
import { until } from '../helpers/until.js';
import { WatchLog, type StreamEntry } from '../helpers/watch-log.js';

type Gateway = Awaited<ReturnType<typeof buildGateway>>;

function watchOf({ app }: Gateway, query = '', { headers, ...options }: WatchOptions = {}) {
  const opened = openWatch(`http://127.0.0.1:${(app.server.address() as AddressInfo).port}/sd/v1/watch${query}`, { headers: { 'x-api-token': TOKEN, ...headers }, ...options });
  onTestFinished(() => opened.cut());
  return opened;
}

/** One life of the registry, and what it is called. */
async function begun(setup: GatewaySetup = {}) {
  const gateway = await buildGateway(setup);
  const { body } = await gateway.call.post('/instances').send(registration({ instanceId: 'first' })).expect(201);
  const start = body.revision as string;
  await gateway.call.get(`/instances?minRevision=${start}`).expect(200);
  return { ...gateway, start, epoch: start.split('.')[0] as string };
}

/** So many changes of a hundred instances, spread over two groups. */
async function change({ registry }: Pick<Gateway, 'registry'>, count: number, stem = 'x') {
  for (let done = 0; done < count; done += 100) {
    const batch = Array.from({ length: Math.min(100, count - done) }, (_, i) =>
      registry.register(complete({ instanceId: `${stem}-${i}`, group: i % 2 ? 'kr-1' : 'eu-1', customState: `${done}` }), CALLER));
    await Promise.all(batch);
  }
}

async function truthOf({ raw, keys, epoch }: { raw: Gateway['raw']; keys: Gateway['keys']; epoch: string }): Promise<StreamEntry[]> {
  const ids = (await raw.xrange(keys.events, '-', '+')).map(([id]) => id);
  return (await eventsIn(raw, keys.events)).map((event, i) => ({ ...event, kind: event.kind ?? '', revision: `${epoch}.${ids[i]}` }));
}

/** How many changes a log was told. */
const toldTo = ({ counts }: WatchLog) => (counts.registered ?? 0) + (counts.updated ?? 0);

/** Watches from a position on until nothing is missing, and gives what was wrong with it. */
async function follow(gateway: Gateway, truth: StreamEntry[], lastEventId: string, asked: { type?: string; group?: string } = {}) {
  const log = new WatchLog({ ...asked, lastEventId });
  const watch = watchOf(gateway, `?${new URLSearchParams(asked).toString()}`, { lastEventId: log.connect(), onFrame: (frame) => log.accept(frame) });
  await until(() => watch.retry !== undefined && log.behind(truth) === 0, 15_000);
  return { log, watch, violations: log.violations(truth) };
}

describe('a watcher that comes back', () => {
  test('is told exactly what it missed, on the replica that it left and on another, from any position', async () => {
    const one = await begun();
    const other = await buildGateway({ prefix: one.prefix });
    await change(one, 300);
    const truth = await truthOf(one);
    for (const gateway of [one, other]) {
      await until(() => gateway.view.revision === truth.at(-1)?.revision);
      for (const at of [0, 1, 150, truth.length - 2, truth.length - 1]) {
        const from = truth[at]?.revision as string;
        const { log, watch, violations } = await follow(gateway, truth, from);
        expect(violations).toEqual([]);
        expect(toldTo(log)).toBe(truth.length - 1 - at);
        expect(watch.retry).toBeGreaterThanOrEqual(1000);
      }
    }
    const { log, violations } = await follow(one, truth, truth[10]?.revision as string, { group: 'kr-1' });
    expect([violations, toldTo(log)]).toEqual([[], 145]);
  });

  test('goes on with what comes: the missed and the new in one order', async () => {
    const one = await begun();
    await change(one, 200);
    const log = new WatchLog({ lastEventId: one.start });
    watchOf(one, '', { lastEventId: log.connect(), onFrame: (frame) => log.accept(frame) });
    await change(one, 300, 'y');
    const truth = await truthOf(one);
    await until(() => log.behind(truth) === 0);
    expect([log.violations(truth), toldTo(log)]).toEqual([[], 500]);
  });

  test('from before the first change of all is told every one', async () => {
    const gateway = await buildGateway();
    const opened = watchOf(gateway);
    const start = (await opened.next(({ event }) => event === 'snapshot')).id as string;
    expect(start).toMatch(/\.0-0$/);
    opened.cut();
    await change(gateway, 20);
    const truth = await truthOf({ ...gateway, epoch: start.split('.')[0] as string });
    const { log, violations } = await follow(gateway, truth, start);
    expect([violations, toldTo(log)]).toEqual([[], 20]);
  });

  test('with a position that this replica has not read yet waits for it, and is not told it twice', async () => {
    const one = await begun();
    const other = await buildGateway({ prefix: one.prefix });
    for (let i = 0; i < 30; i++) {
      const { body } = await one.call.post('/instances').send(registration({ instanceId: `i-${i}` })).expect(201);
      const opened = watchOf(other, '', { lastEventId: body.revision as string });
      const next = await one.call.post('/instances').send(registration({ instanceId: `n-${i}` })).expect(201);
      const frame = await opened.next(({ event }) => event !== 'bookmark');
      expect([frame.event, frame.id]).toEqual(['registered', next.body.revision]);
      opened.cut();
    }
  });

  test('with a position older than what this replica keeps in memory is told the rest from the log of Redis', { timeout: 60_000 }, async () => {
    const one = await begun();
    await change(one, 11_500);
    const truth = await truthOf(one);
    const late = await buildGateway({ prefix: one.prefix });
    for (const gateway of [one, late]) {
      await until(() => gateway.view.revision === truth.at(-1)?.revision);
      expect(gateway.view.ring.after(one.start.split('.')[1] as string)).toBeUndefined(); // not in memory
      const whole = await follow(gateway, truth, one.start);
      expect([whole.violations, toldTo(whole.log)]).toEqual([[], 11_500]);
      const part = await follow(gateway, truth, one.start, { group: 'eu-1' });
      expect([part.violations, toldTo(part.log)]).toEqual([[], 5750]);
    }
  });

  test('while more is written than it has read so far misses nothing', { timeout: 60_000 }, async () => {
    const one = await begun();
    await change(one, 11_500);
    const log = new WatchLog({ lastEventId: one.start });
    watchOf(one, '', { lastEventId: log.connect(), onFrame: (frame) => log.accept(frame) });
    await change(one, 3000, 'y');
    const truth = await truthOf(one);
    await until(() => log.behind(truth) === 0, 20_000);
    expect([log.violations(truth), toldTo(log)]).toEqual([[], 14_500]);
  });
});

describe('a position from which it cannot go on', () => {
  const expectFresh = async (gateway: Gateway, lastEventId: string, reason: RegExp) => {
    const opened = watchOf(gateway, '', { headers: { 'last-event-id': lastEventId } });
    const reset = await opened.next();
    expect([opened.status, reset.event, reset.id]).toEqual([200, 'reset', undefined]);
    expect(reset.json<{ reason: string }>().reason).toMatch(reason);
    const snapshot = await opened.next();
    expect([snapshot.event, snapshot.id]).toEqual(['snapshot', gateway.view.revision]);
    const { body } = await gateway.call.post('/instances').send(registration()).expect(201);
    expect((await opened.next()).id).toBe(body.revision);
  };

  test.each(['x', '12', '1763683261450-1', 'epoch.', 'epoch.1', 'epoch.x-y', 'epoch.1-1.2', 'e e.1-1', '"', '*', 'null', 'a'.repeat(4000)])('%j: reset, and a snapshot', async (id) => {
    await expectFresh(await begun(), id, /position/);
  });

  test('of another epoch: reset, and a snapshot', async () => {
    const gateway = await begun();
    await expectFresh(gateway, gateway.start.replace(gateway.epoch, '1763683200123x1'), /epoch/);
  });

  test('of the future: reset, and a snapshot', async () => {
    const gateway = await begun();
    await expectFresh(gateway, `${gateway.epoch}.${Date.now() + 3_600_000}-1`, /never/);
  });

  test('that never was, between two that were: reset, and a snapshot', async () => {
    const gateway = await begun();
    await sleep(5);
    await change(gateway, 3);
    await gateway.call.get('/instances').expect(200);
    const ms = Number(/\.(\d+)-/.exec(gateway.start)?.[1]);
    await expectFresh(gateway, `${gateway.epoch}.${ms + 1}-0`, /log/);
  });

  test('that Redis has trimmed: reset, and a snapshot', async () => {
    const one = await begun({ eventsMax: 100 });
    await change(one, 500);
    const late = await buildGateway({ prefix: one.prefix, eventsMax: 100 });
    await expectFresh(late, one.start, /log/);
    const truth = await truthOf(one);
    const kept = await follow(one, truth, truth[0]?.revision as string); // what is kept is enough for who needs no more
    expect(kept.violations).toEqual([]);
  });

  test('that is empty is none: a snapshot, without reset', async () => {
    const gateway = await begun();
    for (const id of ['', ' ']) {
      const opened = watchOf(gateway, '', { headers: { 'last-event-id': id } });
      expect((await opened.next()).event).toBe('snapshot');
    }
  });

});

describe('when Redis has lost its data', () => {
  test('a running watch is given a position of the new epoch and what changed since, and that position is as good as any', async () => {
    const redis = await startRedis();
    onTestFinished(redis.stop);
    const one = await begun({ redisUrl: redis.url });
    const opened = watchOf(one);
    await opened.next(({ event }) => event === 'snapshot');
    await one.raw.flushall();
    const bookmark = await opened.next(({ event }) => event === 'bookmark');
    expect(bookmark.id?.split('.')[0]).not.toBe(one.epoch);
    const { body } = await one.call.post('/instances').send(registration()).expect(201);
    expect((await opened.next(({ event }) => event === 'registered')).id).toBe(body.revision);
    expect(opened.frames.map(({ event }) => event)).toEqual(['snapshot', 'bookmark', 'registered']);

    const other = await buildGateway({ redisUrl: redis.url, prefix: one.prefix });
    for (const gateway of [one, other]) {
      const resumed = watchOf(gateway, '', { lastEventId: bookmark.id ?? '' });
      expect(await resumed.next()).toMatchObject({ event: 'registered', id: body.revision });
    }
  });

  test('a position of the lost epoch: reset, and the registry as it is, nobody missing', async () => {
    const redis = await startRedis();
    onTestFinished(redis.stop);
    const one = await begun({ redisUrl: redis.url });
    const opened = watchOf(one);
    await one.raw.flushall();
    await opened.next(({ event }) => event === 'bookmark');
    const late = watchOf(one, '', { lastEventId: one.start });
    expect((await late.next()).event).toBe('reset');
    const snapshot = (await late.next()).json<{ instances: { instanceId: string }[] }>();
    expect(snapshot.instances.map(({ instanceId }) => instanceId)).toEqual(['first']);
  });
});

describe('watchers of one query', () => {
  test('who join while another of them is still on its way back are told everything', async () => {
    const redis = await startRedis();
    onTestFinished(redis.stop);
    const gate = await openGate(redis.port);
    onTestFinished(gate.close);
    const one = await begun({ redisUrl: `redis://127.0.0.1:${gate.port}` });
    const writer = await openRegistry({ redisUrl: redis.url, prefix: one.prefix });
    gate.cut(); // so the first has to wait before it is one of them
    const waiting = watchOf(one, '?group=kr-1', { lastEventId: `${one.epoch}.${Date.now() + 3_600_000}-1` });
    await waiting.opened;
    const passing = watchOf(one, '?group=kr-1');
    await passing.next(({ event }) => event === 'snapshot');
    passing.cut();
    await until(() => one.view.hub.watching === 0);
    const opened = watchOf(one, '?group=kr-1');
    await opened.next(({ event }) => event === 'snapshot');
    gate.mend();
    await waiting.next(({ event }) => event === 'snapshot', 15_000);
    await writer.registry.register(complete({ instanceId: 'news' }), CALLER);
    const isNews = ({ event }: Frame) => event === 'registered';
    expect((await waiting.next(isNews)).data).toContain('news');
    expect((await opened.next(isNews)).data).toContain('news');
  });
});
