import fc from 'fast-check';
import { expect, test } from 'vitest';
import { contentTag, TagSum, type ContentTag } from '../../src/registry/log/content-tag.js';
import { record, T0 } from './sample.js';

const sumOf = (tags: ContentTag[]) => {
  const sum = new TagSum();
  tags.forEach((tag) => sum.add(tag));
  return sum.etag;
};

test('the tag of a set does not depend on the order, nor on who came and went', () => {
  fc.assert(
    fc.property(fc.uniqueArray(fc.string(), { maxLength: 30 }), fc.array(fc.string(), { maxLength: 30 }), (kept, passing) => {
      const sum = new TagSum();
      passing.forEach((text) => sum.add(contentTag(text)));
      [...kept].reverse().forEach((text) => sum.add(contentTag(text)));
      passing.forEach((text) => sum.remove(contentTag(text)));
      expect(sum.etag).toBe(sumOf(kept.map(contentTag)));
      expect(sum.etag).toMatch(/^W\/"[0-9a-z]+-[0-9a-z]+"$/);
    }),
  );
});

test('a hundred thousand contents that differ in little have as many tags, in each half too as far as chance allows', () => {
  const tags = Array.from({ length: 100_000 }, (_, i) => contentTag(`{"instanceId":"game-${i}","status":"ready"}`));
  expect(new Set(tags.map(({ hi, lo }) => `${hi}:${lo}`)).size).toBe(100_000);
  // Of 100,000 even 32-bit numbers about one pair collides.
  for (const half of ['hi', 'lo'] as const) expect(new Set(tags.map((tag) => tag[half])).size).toBeGreaterThan(99_980);
});

test('sums of small sets that swap a word between members differ', () => {
  const seen = new Set<string>();
  for (let i = 0; i < 100; i++) for (let j = 0; j < 100; j++) seen.add(sumOf([contentTag(`a=${i}`), contentTag(`b=${j}`)]));
  expect(seen.size).toBe(10_000);
});

test('a record has the same tag whatever heartbeats said and in whatever order its labels came, and another for any change', () => {
  const plain = { instanceId: 'a', labels: { zone: '1', version: '2' }, ports: [{ port: 1, protocol: 'tcp' }] };
  const { tag } = record(plain);
  expect(record({ ...plain, labels: { version: '2', zone: '1' }, performance: { tps: 1 }, bornMs: T0 + 5, renewedMs: T0 + 10_000 }).tag).toEqual(tag);
  const others = [
    { instanceId: 'b' }, { incarnation: 'life-2' }, { type: 'chat' }, { group: 'us-1' }, { hostname: 'x' }, { ports: [] }, { status: 'error' as const }, { customState: 'x' },
    { cordoned: true }, { labels: { zone: '1' } }, { publicIp: '192.0.2.1' }, { privateIp: '10.0.0.1' }, { systemInfo: { os: 'x' } }, { suspect: true }, { ttlSeconds: 31 },
  ];
  const tags = [tag, ...others.map((other) => record({ ...plain, ...other }).tag)].map(({ hi, lo }) => `${hi}:${lo}`);
  expect(new Set(tags).size).toBe(others.length + 1);
});
