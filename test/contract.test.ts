import { readFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { expect, onTestFinished, test } from 'vitest';
import { parse } from 'yaml';
import { sseFrames } from '../src/http/replies/sse-frames.js';
import { keepBeating, names, openSwept, registerAll, suspects } from './holds/helpers.js';
import { registration, TOKEN } from './helpers/gateway.js';
import { FrameParser, openWatch, type Frame } from './helpers/sse.js';
import { until } from './helpers/until.js';
import { change, idAt, record, T0 } from './registry/sample.js';

type Schema = Record<string, unknown> & { properties?: object; type?: string };
const { components } = parse(readFileSync(new URL('../openapi.yaml', import.meta.url), 'utf8')) as { components: { schemas: Record<string, Schema> } };

/** As the document has it, and nothing that it does not name: a field on the wire that nobody wrote down is found, too. */
function closed(node: unknown): unknown {
  if (Array.isArray(node)) return node.map(closed);
  if (typeof node !== 'object' || node === null) return node;
  const copy = Object.fromEntries(Object.entries(node).map(([key, value]) => [key, closed(value)]));
  return 'properties' in copy && !('additionalProperties' in copy) ? { ...copy, additionalProperties: false } : copy;
}

const ajv = new Ajv2020({ strict: false, allErrors: true, validateFormats: false });
ajv.addSchema({ $id: 'api', components: { schemas: closed(components.schemas) } });

function expectToBe(name: string, data: unknown) {
  const validate = ajv.getSchema(`api#/components/schemas/${name}`);
  if (!validate) throw new Error(`the document has no ${name}`);
  const right = validate(data);
  expect(right ? [] : [name, JSON.stringify(data).slice(0, 300), validate.errors]).toEqual([]);
}

/** Which schema the data of an event has. */
const SHAPES: Record<string, string> = { snapshot: 'Snapshot', bookmark: 'Bookmark', reset: 'Reset', performance: 'PerformanceFrame' };

function framesOf(...buffers: Buffer[]): Frame[] {
  const frames: Frame[] = [];
  const parser = new FrameParser((frame) => frames.push(frame));
  for (const bytes of buffers) parser.push(bytes.toString());
  return frames;
}

test('what is answered and told is what the document says, whatever happens to a group', { timeout: 60_000 }, async () => {
  const gateway = await openSwept();
  const { call } = gateway;
  const watch = (query: string, lastEventId = '') => {
    const { port } = gateway.app.server.address() as AddressInfo;
    const opened = openWatch(`http://127.0.0.1:${port}/sd/v1/watch${query}`, { headers: { 'x-api-token': TOKEN }, lastEventId });
    onTestFinished(() => opened.cut());
    return opened;
  };
  const everything = watch('?performance=true');
  const one = watch('?group=kr-1');

  const full = registration({
    instanceId: 'full', ports: [7777, { port: 80, name: 'web', protocol: 'tcp' }], labels: { zone: 'x' }, systemInfo: { os: 'linux' }, performance: { tps: 1 },
    customState: 'loading', publicIp: '203.0.113.7', check: { protocol: 'tcp', port: 80 }, ttlSeconds: 600,
  });
  expectToBe('RegisterReply', (await call.post('/instances').send(full).expect(201)).body);
  expectToBe('RegisterReply', (await call.post('/instances').send(full).expect(200)).body);
  expectToBe('HeartbeatReply', (await call.post('/instances/full/heartbeat').send({ performance: { tps: 2 } }).expect(200)).body);
  expectToBe('Instance', (await call.patch('/instances/full').send({ cordoned: true }).expect(200)).body);
  await call.post('/instances').send({ ...full, group: 'eu-1', incarnation: 'next' }).expect(200); // moves
  await call.post('/instances').send(registration({ instanceId: 'short' })).expect(201);
  await call.delete('/instances/short').expect(204);
  expectToBe('HeartbeatBatchReply', (await call.post('/heartbeats').send([{ instanceId: 'full' }, { instanceId: 'nobody' }]).expect(200)).body);
  expectToBe('Problem', (await call.post('/instances').send({}).expect(400)).body);

  // Most of a group falls silent: held, suspect, released, expired.
  const [silent, live] = [names(12), names(6, 'live')];
  await registerAll(gateway, [...silent, ...live], { ttlSeconds: 3 });
  keepBeating(gateway, live);
  await until(async () => (await suspects(gateway)).length > 0, 20_000);
  expectToBe('DiscoverReply', (await call.get('/instances').expect(200)).body);
  expectToBe('GroupsReply', (await call.get('/groups').expect(200)).body);
  await until(async () => (await gateway.events('expired')).length === silent.length, 20_000);
  expectToBe('DiscoverReply', (await call.get('/instances?include=offline').expect(200)).body);
  expectToBe('Instance', (await call.get('/instances/full').expect(200)).body);
  const events = await call.get('/events?limit=1000').expect(200);
  expectToBe('EventsReply', events.body);
  expectToBe('EventsReply', (await call.get('/events?limit=1').expect(200)).body);
  const again = watch('', 'of-another-api');
  await call.post('/instances/full/heartbeat').send({ performance: { tps: 3 } }).expect(200);
  await until(() => everything.frames.some(({ event }) => event === 'performance'));
  await until(() => everything.frames.filter(({ event }) => event === 'expired').length === silent.length && again.frames.length > 1);

  const told = [...everything.frames, ...one.frames, ...again.frames, ...framesOf(
    sseFrames.bookmark('1x1.1-1'),
    sseFrames.change(change(idAt(T0), 'restored', record(), { cause: 'recovery' })),
  )];
  for (const frame of told) expectToBe(SHAPES[frame.event] ?? 'Change', frame.json());
  for (const frame of told) expectToBe('WatchEvent', frame.json());
  const kinds = new Set(told.map(({ event }) => event));
  expect([...kinds].sort()).toEqual(
    ['snapshot', 'bookmark', 'reset', 'performance', 'registered', 'updated', 'removed', 'expired', 'restored', 'held', 'released'].sort(),
  );
  expect(told.some(({ event, data }) => event === 'removed' && data.includes('"cause":"moved"'))).toBe(true);
});
