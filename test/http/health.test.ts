import { describe, expect, test } from 'vitest';
import { version } from '../../src/http/version.js';
import { buildGateway } from '../helpers/gateway.js';
import { expectProblem } from '../helpers/problem.js';
import { until } from '../helpers/until.js';
import { emptyView } from '../helpers/view.js';

describe('livez', () => {
  test('says that the process is alive, whatever Redis does', async () => {
    const { call } = await buildGateway({ storeReachable: () => false });
    expect((await call.get('//livez').expect(200)).body).toEqual({ status: 'alive', name: 'rollcall', version });
  });
});

const READY = { status: 200, body: { status: 'ready' } };
const AWAY = { status: 503, body: { code: 'store_unavailable' } };
const DRAINING = { status: 503, body: { code: 'draining' } };

/** What a replica that has read the registry is in, and what it answers: to those who only read, and to those who write. */
const states: [draining: boolean, reachable: boolean, plain: object, strict: object][] = [
  [false, true, READY, READY],
  [false, false, READY, AWAY],
  [true, true, DRAINING, DRAINING],
  [true, false, DRAINING, DRAINING],
];

describe('readyz', () => {
  test.each(states)('of a replica that is draining: %s, with Redis: %s', async (draining, reachable, plain, strict) => {
    const { call } = await buildGateway({ draining: () => draining, storeReachable: () => reachable });
    expect(await call.get('//readyz')).toMatchObject(plain);
    expect(await call.get('//readyz?require=redis')).toMatchObject(strict);
  });

  test('is 503 until the registry is read, though Redis answers', async () => {
    const { call } = await buildGateway({ view: emptyView(), storeReachable: () => true });
    for (const path of ['//readyz', '//readyz?require=redis']) expectProblem(await call.get(path), 503, 'store_unavailable');
    await call.get('//livez').expect(200);
  });

  test('outlives the silence of Redis, for as long as a replica answers from memory', async () => {
    const { call, reader } = await buildGateway({ fromMemory: true, maxStaleMs: 3000 });
    const both = async () => [(await call.get('//readyz')).status, (await call.get('//readyz?require=redis')).status].join();
    expect(await both()).toBe('200,200');
    await reader.stop(); // hears no more of Redis
    await until(async () => (await both()) === '200,503');
    await call.get('/instances').expect(200);
    await until(async () => (await both()) === '503,503');
    for (const path of ['/instances', '/instances/any', '/groups']) expectProblem(await call.get(path), 503, 'store_unavailable');
  });

  test('follows as things change', async () => {
    let reachable = true;
    const { call } = await buildGateway({ storeReachable: () => reachable });
    const strict = '//readyz?require=redis';
    await call.get(strict).expect(200);
    reachable = false;
    await call.get(strict).expect(503);
    reachable = true;
    await call.get(strict).expect(200);
  });
});

describe('a replica that is draining', () => {
  test('still answers, and asks each caller to close the connection', async () => {
    let draining = false;
    const { call } = await buildGateway({ draining: () => draining });
    const connection = async (path: string) => (await call.get(path).set('Connection', 'keep-alive')).headers.connection;
    const paths = ['/groups', '/instances/nobody', '//livez'];
    for (const path of paths) expect(await connection(path)).toBe('keep-alive');
    draining = true;
    for (const path of paths) expect(await connection(path)).toBe('close');
    await call.get('/groups').expect(200);
  });
});
