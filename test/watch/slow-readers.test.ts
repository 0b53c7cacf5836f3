import { connect, type AddressInfo, type Socket } from 'node:net';
import { describe, expect, inject, onTestFinished, test } from 'vitest';
import { WatchHub } from '../../src/registry/watch/hub.js';
import { View } from '../../src/registry/view/view.js';
import { createMetrics } from '../../src/http/metrics/metrics.js';
import { sseFrames } from '../../src/http/replies/sse-frames.js';
import { openReaderConnection } from '../../src/redis/open-store.js';
import { Reader } from '../../src/redis/follow/reader.js';
import { serve } from '../../src/redis/serve.js';
import { parseRedisUrl } from '../../src/redis/connect/url.js';
import { eventsIn } from '../helpers/events.js';
import { buildGateway, openRegistry, silent, TOKEN } from '../helpers/gateway.js';
import { openWatch, type Watch } from '../helpers/sse.js';
import { CALLER, complete } from '../helpers/store.js';
import { until } from '../helpers/until.js';
import { strongByDefault } from '../helpers/view.js';
import { WatchLog, type StreamEntry } from '../helpers/watch-log.js';

/** A gateway whose hub counts in its metrics, as a replica's does. */
async function countingGateway() {
  const opened = await openRegistry({ eventsMax: 100_000 }); // of large entries the log keeps fewer
  const metrics = createMetrics();
  const view = new View({ hub: new WatchHub(sseFrames, { ended: (reason) => metrics.watchersEnded.labels(reason).inc() }), maxStaleMs: 3_600_000 });
  const config = { target: parseRedisUrl(inject('redisUrl')) };
  const observer = { reachable: () => undefined, applied: () => undefined, loaded: () => undefined, recovered: () => undefined, diverged: () => undefined };
  const [connection, waiting] = [await openReaderConnection(config, silent), await openReaderConnection(config, silent)];
  const reader = new Reader({ ...opened.store, connection }, waiting, view, { offlineMs: 300_000, ownStore: true, observer }, silent);
  await reader.start();
  onTestFinished(async () => {
    view.end();
    await reader.stop();
  });
  await until(() => view.loaded);
  const registry = strongByDefault(serve(opened.store, view));
  const gateway = await buildGateway({ prefix: opened.prefix, registry, view, metrics });
  const { port } = gateway.app.server.address() as AddressInfo;
  return { ...gateway, registry, view, port, url: `http://127.0.0.1:${port}/sd/v1/watch` };
}

type Gateway = Awaited<ReturnType<typeof countingGateway>>;

/** Asks for a watch, and never reads a byte of it. */
function neverRead(port: number, query = '', lastEventId = ''): Socket {
  const socket = connect({ host: '127.0.0.1', port });
  socket.pause();
  socket.on('error', () => undefined);
  const resume = lastEventId === '' ? '' : `last-event-id: ${lastEventId}\r\n`;
  socket.write(`GET /sd/v1/watch${query} HTTP/1.1\r\nhost: x\r\nx-api-token: ${TOKEN}\r\n${resume}\r\n`);
  onTestFinished(() => void socket.destroy());
  return socket;
}

const PADDING = { a: 'x'.repeat(7500) };
/** Changes of some 8 KiB each, so that the buffers of the kernels fill soon. */
async function change({ registry }: Gateway, count: number, stem = 'x') {
  for (let done = 0; done < count; done += 50) {
    await Promise.all(Array.from({ length: 50 }, (_, i) => registry.register(complete({ instanceId: `${stem}-${i}`, customState: `${done}`, systemInfo: PADDING }), CALLER)));
  }
}

/** The view has everything, however long that takes: it reads behind a writer that never rests. */
async function readAll({ raw, keys, view }: Gateway) {
  const [last] = (await raw.xrevrange(keys.events, '+', '-', 'COUNT', 1))[0] ?? [];
  await until(() => view.position?.id === last, 20_000);
}

async function truthOf({ raw, keys, view }: Gateway): Promise<StreamEntry[]> {
  const [epoch] = view.revision.split('.');
  const ids = (await raw.xrange(keys.events, '-', '+')).map(([id]) => id);
  return (await eventsIn(raw, keys.events)).map((event, i) => ({ revision: `${epoch}.${ids[i]}`, kind: event.kind ?? '', instanceId: event.instanceId, type: event.type, group: event.group, prev: event.prev }));
}

const ended = async ({ call }: Gateway, reason: string) =>
  Number(new RegExp(`^rollcall_watchers_ended_total\\{reason="${reason}"\\} (\\d+)`, 'm').exec((await call.get('//metrics')).text)?.[1] ?? 0);
const watching = async ({ call }: Gateway) => Number(/^rollcall_watchers (\d+)/m.exec((await call.get('//metrics')).text)?.[1]);

function logged(gateway: Gateway, log = new WatchLog()): Watch {
  const watch = openWatch(gateway.url, { headers: { 'x-api-token': TOKEN }, lastEventId: log.connect(), onFrame: (frame) => log.accept(frame) });
  onTestFinished(() => watch.cut());
  return watch;
}

describe('readers that never read', () => {
  test('are ended and counted, while others are told everything, and one that is ended resumes with nothing missing', { timeout: 60_000 }, async () => {
    const gateway = await countingGateway();
    const idle = Array.from({ length: 20 }, () => neverRead(gateway.port));
    const slowLog = new WatchLog();
    const slow = logged(gateway, slowLog);
    await slow.next(({ event }) => event === 'snapshot');
    slow.pause();
    const logs = Array.from({ length: 10 }, () => new WatchLog());
    for (const log of logs) logged(gateway, log);
    await until(async () => (await watching(gateway)) === 31);

    await change(gateway, 3500);
    await until(async () => (await ended(gateway, 'slow')) === 21);
    expect(await watching(gateway)).toBe(10);
    expect(idle.every((socket) => !socket.readableFlowing)).toBe(true);

    const truth = await truthOf(gateway);
    await until(() => logs.every((log) => log.behind(truth) === 0));
    expect(logs.flatMap((log) => log.violations(truth))).toEqual([]);
    expect(logs.map(({ counts: { registered = 0, updated = 0 } }) => registered + updated)).toEqual(logs.map(() => 3500));

    slow.resume();
    expect((await slow.ended).clean).toBe(false);
    expect(slowLog.behind(truth)).toBeGreaterThan(0);
    logged(gateway, slowLog);
    await until(() => slowLog.behind(truth) === 0);
    expect([slowLog.violations(truth), slowLog.resets]).toEqual([[], []]);
    expect([await ended(gateway, 'slow'), await ended(gateway, 'stuck')]).toEqual([21, 0]);
  });

  test('of a group in which nothing happens stay', async () => {
    const gateway = await countingGateway();
    neverRead(gateway.port, '?group=quiet');
    await until(async () => (await watching(gateway)) === 1);
    await change(gateway, 2500);
    await readAll(gateway);
    expect([await watching(gateway), await ended(gateway, 'slow')]).toEqual([1, 0]);
  });

  test('are ended after half a minute when it is what they missed that they do not read, from memory or from the log of Redis', { timeout: 90_000 }, async () => {
    const gateway = await countingGateway();
    await gateway.registry.register(complete({ instanceId: 'first' }), CALLER);
    await gateway.registry.discover({ limit: 1 }, { strong: true });
    const start = gateway.view.revision;
    await change(gateway, 8000); // of 8 KiB
    await readAll(gateway);
    const later = gateway.view.revision;
    await change(gateway, 2500);
    await readAll(gateway);
    expect(gateway.view.ring.after(start.split('.')[1] as string)).toBeUndefined();
    const begin = async (from: string) => {
      const accepted = new Promise<Socket>((resolve) => gateway.app.server.once('connection', resolve));
      neverRead(gateway.port, '', from);
      return accepted;
    };
    const [old, recent] = [await begin(start), await begin(later)];
    await until(() => recent.destroyed, 40_000, 200);
    expect(await ended(gateway, 'stuck')).toBeGreaterThan(0);
    await until(() => old.destroyed, 8000, 200);
    expect([await ended(gateway, 'stuck'), await watching(gateway)]).toEqual([2, 0]);
  });
});
