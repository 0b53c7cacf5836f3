import { describe, expect, test } from 'vitest';
import { buildGateway } from '../helpers/gateway.js';

describe('livez', () => {
  test('says that the process is alive, whatever Redis does', async () => {
    const { call } = await buildGateway({ storeReachable: () => false });
    expect((await call.get('//livez').expect(200)).body).toEqual({ status: 'alive' });
  });
});

/** What a replica is in, and what it answers. */
const states: [draining: boolean, reachable: boolean, status: number, body: object][] = [
  [false, true, 200, { status: 'ready' }],
  [false, false, 503, { code: 'store_unavailable' }],
  [true, true, 503, { code: 'draining' }],
  [true, false, 503, { code: 'draining' }],
];

describe('readyz', () => {
  test.each(states)('of a replica that is draining: %s, with Redis: %s is %i', async (draining, reachable, status, body) => {
    const { call } = await buildGateway({ draining: () => draining, storeReachable: () => reachable });
    for (const path of ['//readyz', '//readyz?require=redis']) expect(await call.get(path)).toMatchObject({ status, body });
  });

  test('follows as things change', async () => {
    let reachable = true;
    const { call } = await buildGateway({ storeReachable: () => reachable });
    await call.get('//readyz').expect(200);
    reachable = false;
    await call.get('//readyz').expect(503);
    reachable = true;
    await call.get('//readyz').expect(200);
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
