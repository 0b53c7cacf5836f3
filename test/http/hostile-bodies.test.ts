import type { FastifyInstance } from 'fastify';
import { pino } from 'pino';
import { describe, expect, test } from 'vitest';
import { fieldErrors, HeartbeatBatch, InstancePatch, Registration } from '../../src/contract/index.js';
import { installValidation } from '../../src/http/requests/validation.js';
import { registration } from '../helpers/gateway.js';
import { expectProblem } from '../helpers/problem.js';
import { sharedGateway } from '../helpers/shared-gateway.js';

const lines: string[] = [];
const gateway = sharedGateway({ log: pino({ level: 'debug' }, { write: (line: string) => void lines.push(line) }) });

const KIB = 1024;
const times = (bytes: number, item: string) => Array.from({ length: Math.floor((bytes - 100) / (item.length + 1)) }, () => item).join(',');
const fields = (bytes: number, value: string) => {
  const pairs: string[] = [];
  for (let i = 0, length = 0; length < bytes - 200; length += (pairs.at(-1) as string).length + 1) pairs.push(`"f${i++}":${value}`);
  return pairs.join(',');
};
const right = '"type":"game","hostname":"h"';
const deep = (n: number) => `${'{"a":'.repeat(n)}1${'}'.repeat(n)}`;

const bodies: [what: string, method: 'post' | 'patch', path: string, body: string][] = [
  ['ports that are texts', 'post', '/instances', `{${right},"ports":[${times(64 * KIB, '"x"')}]}`],
  ['ports that are numbers beside a missing type', 'post', '/instances', `{"hostname":"h","ports":[${times(64 * KIB, '0')}]}`],
  ['ports that are objects of wrong fields', 'post', '/instances', `{${right},"ports":[${times(64 * KIB, '{"port":0,"name":"","a":1}')}]}`],
  ['labels of the value 1', 'post', '/instances', `{${right},"labels":{${fields(64 * KIB, '1')}}}`],
  ['labels of the value 1 in a patch', 'patch', '/instances/x', `{"labels":{${fields(64 * KIB, '1')}}}`],
  ['unknown fields', 'post', '/instances', `{${right},${fields(64 * KIB, '1')}}`],
  ['unknown fields in a patch', 'patch', '/instances/x', `{${fields(64 * KIB, '1')}}`],
  ['unknown fields in a heartbeat', 'post', '/instances/x/heartbeat', `{${fields(64 * KIB, '1')}}`],
  ['one unknown field of 60 KB', 'post', '/instances', `{${right},"${'\\u0001'.repeat(10_000)}":1}`],
  ['a label whose name is 60 KB long', 'post', '/instances', `{${right},"labels":{"${'"'.replace('"', '\\"').repeat(30_000)}":"x"}}`],
  ['texts far too long', 'post', '/instances', `{"type":"${'a'.repeat(15_000)}","hostname":"${'.'.repeat(15_000)}","publicIp":"${':'.repeat(15_000)}","customState":"${'\\n'.repeat(7000)}"}`],
  ['a batch of wrong beats', 'post', '/heartbeats', `[${times(KIB * KIB, '{"customState":1}')}]`],
  ['a batch of numbers', 'post', '/heartbeats', `[${times(KIB * KIB, '0')}]`],
  ['a batch of empty objects', 'post', '/heartbeats', `[${times(KIB * KIB, '{}')}]`],
  ['a batch of 1,000 beats of unknown fields', 'post', '/heartbeats', `[${Array.from({ length: 1000 }, () => `{${fields(1100, '1')}}`).join(',')}]`],
  ['a batch of 1,000 beats with wrong labels', 'post', '/heartbeats', `[${Array.from({ length: 1000 }, (_, i) => `{"instanceId":"i-${i}","labels":{${fields(1100, '1')}}}`).join(',')}]`],
  ['a batch of one beat of 1 MB of fields', 'post', '/heartbeats', `[{${fields(KIB * KIB, '1')}}]`],
  ['a field name of 1 MB', 'post', '/heartbeats', `[{"instanceId":"a","${'x'.repeat(1_000_000)}":1}]`],
  ['20 field names of 50 KB', 'post', '/heartbeats', `[{${Array.from({ length: 20 }, (_, i) => `"${i}${'\u20ac'.repeat(16_000)}":1`).join(',')}}]`],
  ['performance that is very wide', 'post', '/heartbeats', `[{"instanceId":"a","performance":{${fields(KIB * KIB, '1')}}}]`],
  ['performance that is very deep', 'post', '/heartbeats', `[{"instanceId":"a","performance":${deep(150_000)}}]`],
  ['many performances that are too deep', 'post', '/heartbeats', `[${Array.from({ length: 1000 }, (_, i) => `{"instanceId":"i-${i}","performance":${deep(100)}}`).join(',')}]`],
];

// On what compared every failure with every other each of the first rows takes from seconds to minutes, and everybody waits.
test.each(bodies)('%s: refused in a short answer and a short line', async (_what, method, path, body) => {
  expect(body.length).toBeLessThanOrEqual(path === '/heartbeats' ? KIB * KIB : 64 * KIB);
  lines.length = 0;
  const answer = await gateway().call[method](path).type('application/json').send(body);
  expectProblem(answer, 400, 'invalid_request');
  expect(Buffer.byteLength(answer.text)).toBeLessThan(16 * KIB);
  expect((answer.body as { errors: unknown[] }).errors.length).toBeLessThanOrEqual(20);
  expect(Math.max(...lines.map((line) => line.length))).toBeLessThan(8 * KIB);
});

test('more values than can be read in a moment are refused before any is read, and many in a right body are not', async () => {
  const { call } = gateway();
  const refused = await call.post('/heartbeats').type('application/json').send(`[${'{},'.repeat(20_000)}{}]`);
  expect((refused.body as { errors: unknown[] }).errors).toEqual([{ pointer: '', detail: 'holds more than 30000 values: send fewer in one call' }]);
  const beats = Array.from({ length: 1000 }, (_, i) => ({ instanceId: `i-${i}`, performance: Object.fromEntries(Array.from({ length: 26 }, (_, k) => [`k${k}`, k])) }));
  await call.post('/heartbeats').send(beats).expect(200);
});

describe('the work for a wrong body', () => {
  type Check = ((value: unknown) => boolean) & { errors: Parameters<typeof fieldErrors>[0] };
  let compile: (route: { schema: object; httpPart: string }) => Check;
  installValidation({ setValidatorCompiler: (made: typeof compile) => (compile = made) } as unknown as FastifyInstance);

  /** The value, and how many of its fields and items were looked at. */
  function counted(value: unknown): { value: unknown; looks: () => number } {
    let looks = 0;
    const wrap = (inner: unknown): unknown =>
      typeof inner !== 'object' || inner === null
        ? inner
        : new Proxy(inner, {
            get: (target, key) => (looks++, wrap((target as Record<PropertyKey, unknown>)[key])),
            getOwnPropertyDescriptor: (target, key) => (looks++, Object.getOwnPropertyDescriptor(target, key)),
          });
    return { value: wrap(value), looks: () => looks };
  }

  const wrong: [what: string, schema: object, value: unknown, looks: number][] = [
    ['a batch that is too long', HeartbeatBatch, Array(8000).fill({ customState: 1 }), 5000],
    ['a list of ports that is too long', Registration, { ...registration(), ports: Array(8000).fill('x') }, 5000],
    ['labels that are too many', InstancePatch, { labels: Object.fromEntries(Array.from({ length: 8000 }, (_, i) => [`k${i}`, 1])) }, 12_000],
    ['a batch of as many as may be, all wrong', HeartbeatBatch, Array(1000).fill({ customState: 1, status: 1, labels: { a: 1, b: 2 } }), 5000],
    ['as many ports as may be, all wrong', Registration, { ...registration(), ports: Array(32).fill({ port: 0, name: '' }) }, 5000],
  ];

  test.each(wrong)('%s: some looks at it, not one for each part', (_what, schema, body, most) => {
    const check = compile({ schema: { ...schema, $id: undefined }, httpPart: 'body' });
    const { value, looks } = counted(body);
    expect(check(value)).toBe(false);
    expect(looks()).toBeLessThan(most);
    const told = fieldErrors(check.errors);
    expect(told.length).toBeGreaterThan(0);
    expect(told.length).toBeLessThanOrEqual(20);
  });

  test('that is too long says so, and not what is wrong with its parts alone', () => {
    const check = compile({ schema: { ...HeartbeatBatch, $id: undefined }, httpPart: 'body' });
    expect(check(Array(8000).fill({ customState: 1 }))).toBe(false);
    expect(fieldErrors(check.errors)).toEqual([{ pointer: '', detail: 'must have at most 1000 items' }]);
  });

  test('of which much is wrong is compared by its first hundred failures', () => {
    let paths = 0;
    const failures = Array.from({ length: 20_000 }, (_, i) => ({
      keyword: i % 2 ? 'anyOf' : 'type',
      get instancePath() {
        paths++;
        return `/ports/${i >> 1}`;
      },
      schemaPath: '',
      params: {},
    }));
    expect(fieldErrors(failures)).toHaveLength(20);
    expect(paths).toBeLessThan(10_000 + 1000); // each union once, and some for each of a hundred
  });
});
