import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { CompleteRegistration } from '../../src/registry/registry.js';
import { adoptable } from '../../src/redis/upkeep/hand-written.js';
import { decodeDescribed, decodeInstance, encodePatch, encodeRegistration, pairs } from '../../src/redis/scripts/codec.js';
import { contentTag } from '../../src/registry/log/content-tag.js';
import { logRecord } from '../../src/registry/log/record.js';
import { complete } from '../helpers/store.js';

const text = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 40 });
const json = fc.dictionary(text, fc.oneof(fc.integer(), fc.boolean(), text, fc.array(fc.integer(), { maxLength: 3 })), { maxKeys: 4, noNullPrototype: true });
const port = fc.record(
  { port: fc.integer({ min: 1, max: 65_535 }), name: text, protocol: fc.constantFrom('tcp', 'udp') },
  { requiredKeys: ['port', 'protocol'] },
);
const registration: fc.Arbitrary<Partial<CompleteRegistration>> = fc.record(
  {
    hostname: text,
    publicIp: fc.ipV4(),
    privateIp: fc.ipV6(),
    ports: fc.array(port, { maxLength: 4 }),
    status: fc.constantFrom('ready', 'initializing', 'shutting_down', 'error'),
    customState: text,
    labels: fc.dictionary(text, text, { maxKeys: 4, noNullPrototype: true }),
    systemInfo: json,
    performance: json,
    check: fc.record({ protocol: fc.constant('tcp' as const), port: fc.integer({ min: 1, max: 65_535 }) }),
  },
  { requiredKeys: ['hostname', 'ports', 'status'] },
);

test('what is written is read back the same, whatever letters it holds', () => {
  fc.assert(
    fc.property(registration, (given) => {
      const flat = encodeRegistration(complete(given));
      const { instanceId: _, incarnation: __, type: ___, group: ____, ...read } = decodeInstance(pairs(flat));
      const stamps = { ttlSeconds: 0, registeredAt: '', updatedAt: '', lastHeartbeat: '', expiresAt: '' };
      expect(read).toEqual({ cordoned: false, labels: {}, ...stamps, ...given });
    }),
  );
});

test('a record is the JSON of its parts in one order, and its tag that of the content alone, as in every version before', () => {
  const stamp = fc.oneof(fc.constant('2026-01-01T00:00:00.000Z'), text, fc.constant(''));
  const stamps = fc.record({ registeredAt: stamp, updatedAt: stamp, lastHeartbeat: stamp, cordoned: fc.constantFrom('0', '1'), suspect: fc.constantFrom('0', '1'), health: fc.constantFrom('{"status":"up"}', 'x') });
  fc.assert(
    fc.property(registration, stamps, (given, more) => {
      const fields = { ...pairs(encodeRegistration(complete(given))), instanceId: 'a', type: 'game', group: 'kr-1', incarnation: 'life-1', ttlSeconds: '30', ...more };
      const { performance, registeredAt, updatedAt, lastHeartbeat: _, expiresAt: __, ...content } = decodeInstance(fields);
      const json = JSON.stringify(content);
      const head = `${json.slice(0, -1)},"registeredAt":${JSON.stringify(registeredAt)},"updatedAt":${JSON.stringify(updatedAt)}`;
      expect(logRecord(decodeDescribed(fields))).toMatchObject({ head, tag: contentTag(json), performance: performance && JSON.stringify(performance) });
    }),
  );
  expect(logRecord(decodeDescribed({ instanceId: 'a', labels: '{"b":"2","a":"1"}' }))).toMatchObject({ tag: { hi: -1311784728, lo: 1655840101 } });
});

test('labels are written in one order, so that a repetition is no change', () => {
  const written = (labels: Record<string, string>) => encodeRegistration(complete({ labels }));
  expect(written({ b: '2', a: '1' })).toEqual(written({ a: '1', b: '2' }));
});

test('what is empty is not written', () => {
  expect(encodeRegistration(complete({ ports: [], labels: {}, customState: '' }))).toEqual(['hostname', 'game-1.example.com', 'status', 'ready']);
});

test.each([
  { patch: {}, parts: ['', '', ''] },
  { patch: { status: 'error' as const }, parts: ['error', '', ''] },
  { patch: { customState: 'x' }, parts: ['', '=x', ''] },
  { patch: { customState: '-' }, parts: ['', '=-', ''] },
  { patch: { customState: null }, parts: ['', '-', ''] },
  { patch: { customState: '' }, parts: ['', '-', ''] },
  { patch: { labels: { a: '1', b: null } }, parts: ['', '', '{"a":"1","b":null}'] },
])('a patch $patch is told to the scripts as $parts', ({ patch, parts }) => expect(encodePatch(patch)).toEqual(parts));

const SPOILT: { title: string; fields: Record<string, string>; read: Record<string, unknown> }[] = [
  { title: 'nothing at all', fields: {}, read: { instanceId: '', hostname: '', status: 'ready', ports: [], labels: {}, cordoned: false, ttlSeconds: 0 } },
  { title: 'fields of a newer version', fields: { hostname: 'h', shiny: 'new', suspect: '1' }, read: { hostname: 'h', suspect: true } },
  { title: 'ports that are not JSON', fields: { ports: '[{' }, read: { ports: [] } },
  { title: 'ports that are no list of ports', fields: { ports: '[1,2]' }, read: { ports: [] } },
  { title: 'labels with a value that is no text', fields: { labels: '{"a":1}' }, read: { labels: {} } },
  { title: 'labels that are a list', fields: { labels: '[]' }, read: { labels: {} } },
  { title: 'an unknown status', fields: { status: 'UP' }, read: { status: 'ready' } },
  { title: 'a cordoned of another word', fields: { cordoned: 'true' }, read: { cordoned: false } },
];
test.each(SPOILT)('a Hash with $title is read for what it is worth', ({ fields, read }) => {
  const instance = decodeInstance(fields);
  expect(instance).toMatchObject(read);
  expect(instance).not.toHaveProperty('shiny');
});

test.each([
  { fields: { systemInfo: '"text"' }, lacks: 'systemInfo' },
  { fields: { performance: '[1]' }, lacks: 'performance' },
  { fields: { check: 'null' }, lacks: 'check' },
  { fields: { health: '7' }, lacks: 'health' },
])('a $lacks that is no object is left out', ({ fields, lacks }) => expect(decodeInstance(fields)).not.toHaveProperty(lacks));

test('what a hand wrote is cut to what a registration may hold', () => {
  const made = adoptable('hand', { hostname: 'h'.repeat(300), customState: 's'.repeat(300), publicIp: '::', privateIp: '10.0.0.7', incarnation: 'x', cordoned: '1' });
  expect(made).toEqual({ hostname: '10.0.0.7', customState: 's'.repeat(256), privateIp: '10.0.0.7', ports: [], status: 'ready', labels: {} });
});
