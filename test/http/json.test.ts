import fc from 'fast-check';
import { expect, test } from 'vitest';
import { holdsMoreThan, keyGivenTwice } from '../../src/http/requests/json.js';

const given = (json: string) => keyGivenTwice(json, JSON.parse(json));

const twice: [json: string, pointer: string][] = [
  ['{"a":1,"a":2}', '/a'],
  ['{"a":1,"a":1}', '/a'],
  ['{"a":1,"\\u0061":2}', '/a'],
  ['{"\\"":1,"\\u0022":2}', '/"'],
  ['{"\\\\":1,"\\u005c":2}', '/\\'],
  ['{"":1,"":2}', '/'],
  ['{ "a" \n:1, "b":{"c":[0,{"d":1,\t"d"\r:2}]}}', '/b/c/1/d'],
  ['[1,"x:",{"a/b":1,"a/b":2}]', '/2/a~1b'],
  ['{"a":{"b":1},"a":{"c":1}}', '/a'],
  ['{"__proto__":1,"__proto__":2}', '/__proto__'],
  ['{"1":1,"0":2,"1":3}', '/1'],
  ['{"a":"}","b":"{\\"b\\":1,","b":2}', '/b'],
];
test.each(twice)('%s has %s twice', (json, pointer) => {
  expect(given(json)).toBe(pointer);
});

test.each(['{}', '[]', '"a"', '1', 'null', '{"a":{"a":{"a":1}}}', '[{"a":1},{"a":2}]', '{"a":"\\"a\\":1"}', '{"a":":","b":"\\\\"}', '["a",":"]', ' {"a" : "b" } '])('%s has none', (json) => {
  expect(given(json)).toBeUndefined();
});

test('what JSON.stringify writes has none, and has one as soon as a key is written again', () => {
  fc.assert(
    fc.property(fc.dictionary(fc.string(), fc.jsonValue(), { minKeys: 1 }), fc.boolean(), (value, indented) => {
      const json = JSON.stringify(value, null, indented ? 2 : 0);
      expect(given(json)).toBeUndefined();
      const key = Object.keys(JSON.parse(json) as object)[0] as string;
      expect(given(`${json.slice(0, json.lastIndexOf('}'))},${JSON.stringify(key)}:0}`)).toBeTypeOf('string');
    }),
  );
});

test('a long text of backslashes and quotes is gone through once', () => {
  const text = '\\\\'.repeat(200_000) + '\\"'.repeat(100_000);
  expect(given(`{"a":"${text}","b":"${text}","a":1}`)).toBe('/a');
});

test('values are counted by commas and brackets outside of texts', () => {
  fc.assert(
    fc.property(fc.jsonValue(), fc.array(fc.string({ unit: fc.constantFrom('"', '\\', 'a', ','), maxLength: 150 }), { maxLength: 3 }), fc.integer({ min: 1, max: 30 }), (value, texts, most) => {
      const json = JSON.stringify([value, texts]);
      const outside = json.replace(/"(?:[^"\\]|\\.)*"/g, '');
      const values = 1 + (outside.match(/[,[{]/g) ?? []).length;
      expect(holdsMoreThan(most, Buffer.from(json))).toBe(values > most);
    }),
  );
});

test('keys of wide objects count for more: an object of thousands is read ten times as slowly as as many of some', () => {
  const wide = (keys: number, stem = 'k') => `{${Array.from({ length: keys }, (_, i) => `"${stem}${i}":1`).join(',')}}`;
  const holds = (json: string) => holdsMoreThan(30_000, Buffer.from(json));
  expect(holds(`[${wide(5000)}]`)).toBe(true);
  expect(holds(`[${Array.from({ length: 15 }, (_, n) => wide(1900, `${n}x`)).join(',')}]`)).toBe(true);
  expect(holds(`{"a":[${wide(100)}],${wide(4500).slice(1)}`)).toBe(true); // what is inside does not make it narrow
  expect(holds(`{"systemInfo":${wide(1400)}}`)).toBe(false); // 8 KiB hold no more
  expect(holds(`[${Array.from({ length: 1000 }, () => wide(28)).join(',')}]`)).toBe(false);
  expect(holds(`[${'1,'.repeat(20_000)}1]`)).toBe(false);
});
