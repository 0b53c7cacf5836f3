import { describe, expect, test } from 'vitest';
import { registration } from '../helpers/gateway.js';
import { keyspace } from '../helpers/keyspace.js';
import { expectProblem } from '../helpers/problem.js';
import { sharedGateway } from '../helpers/shared-gateway.js';

const gateway = sharedGateway();

type Call = ReturnType<typeof gateway>['call'];

const fleet = [
  { instanceId: 'a', type: 'game', group: 'kr-1', labels: { version: '1', zone: 'x' } },
  { instanceId: 'b', type: 'game', group: 'kr-1', labels: { version: '2', zone: 'x' }, status: 'initializing' },
  { instanceId: 'c', type: 'game', group: 'eu-1', labels: { version: '2' }, status: 'shutting_down' },
  { instanceId: 'd', type: 'chat', group: 'kr-1', labels: { 'app.example.com/tier': 'front end' }, status: 'error' },
];

async function withFleet() {
  const built = gateway();
  for (const fields of fleet) await built.call.post('/instances').send(registration(fields)).expect(201);
  const ids = async (query: string) => {
    const { body } = await built.call.get(`/instances${query}`).expect(200);
    return (body.instances as { instanceId: string }[]).map(({ instanceId }) => instanceId).join('');
  };
  return { ...built, ids };
}

describe('discover', () => {
  const questions: [query: string, ids: string][] = [
    ['', 'dcab'],
    ['?type=game', 'cab'],
    ['?group=kr-1', 'dab'],
    ['?type=game&group=kr-1', 'ab'],
    ['?type=game&group=nowhere', ''],
    ['?type=nothing', ''],
    ['?status=ready', 'a'],
    ['?status=ready,initializing', 'ab'],
    ['?status=shutting_down,error,error', 'dc'],
    ['?label.version=2', 'cb'],
    ['?label.version=2&label.zone=x', 'b'],
    ['?label.version=3', ''],
    ['?label.unknown=', ''],
    ['?label.constructor=x', ''],
    ['?label.app.example.com/tier=front%20end', 'd'],
    ['?label.app.example.com%2Ftier=front+end', 'd'],
    ['?type=game&group=kr-1&status=initializing&label.zone=x', 'b'],
    ['?label[version]=2&label%5Bzone%5D=x', 'b'],
    ['?label[app.example.com/tier]=front%20end', 'd'],
    ['?label[version]=2&label.zone=x', 'b'],
    ['?label[constructor]=x', ''],
    ['?healthCheck=false&type=game&group=kr-1', 'ab'],
  ];

  test('lists what is live and asked for, ordered by type, group and id', async () => {
    const { ids } = await withFleet();
    for (const [query, expected] of questions) expect([query, await ids(query)]).toEqual([query, expected]);
  });

  test('tells an instance exactly as looking at it does', async () => {
    const { call } = await withFleet();
    const { body } = await call.get('/instances?type=chat').expect(200);
    expect(body).toEqual({ instances: [(await call.get('/instances/d')).body] });
  });

  test('of an unknown group is an empty list', async () => {
    const { call } = gateway();
    expect((await call.get('/instances?type=game&group=kr-1').expect(200)).body).toEqual({ instances: [] });
  });

  test('lists a cordoned instance, marked', async () => {
    const { call } = await withFleet();
    await call.patch('/instances/a').send({ cordoned: true }).expect(200);
    expect((await call.get('/instances?type=game&group=kr-1')).body.instances).toMatchObject([{ instanceId: 'a', cordoned: true }, { cordoned: false }]);
  });

  test('writes nothing', async () => {
    const { call, raw, prefix } = await withFleet();
    await raw.sadd(`${prefix}group:game:kr-1`, 'ghost');
    const before = await keyspace(raw, [], `${prefix}*`);
    const { body } = await call.get('/instances?healthCheck=true').expect(200);
    expect(JSON.stringify(body)).not.toContain('ghost');
    expect(await keyspace(raw, [], `${prefix}*`)).toEqual(before);
  });

  test('orders by type and then by group, not by the two as one text', async () => {
    const { call } = gateway();
    const homes = [['a', 'x'], ['a', 'x-1'], ['a', 'x.1'], ['a-b', 'x'], ['a.b', 'x'], ['aB', 'x'], ['ab', 'x']];
    for (const [type, group] of [...homes].reverse()) await call.post('/instances').send(registration({ instanceId: `in-${type}-${group}`, type, group })).expect(201);
    const { body } = await call.get('/instances').expect(200);
    expect((body.instances as { type: string; group: string }[]).map(({ type, group }) => [type, group])).toEqual(homes);
    expect(await pages(call, '/instances?limit=1')).toEqual(homes.map(([type, group]) => [`in-${type}-${group}`]));
  });
});

/** All pages from this path on, as ids. */
async function pages(call: Call, path: string): Promise<string[][]> {
  const found: string[][] = [];
  for (let after = ''; ; ) {
    const { body } = await call.get(`${path}${after && `&after=${after}`}`).expect(200);
    found.push((body.instances as { instanceId: string }[]).map(({ instanceId }) => instanceId));
    if (body.next === undefined) return found;
    after = body.next as string;
  }
}

describe('paging', () => {
  test('goes through everything once, over groups, with whatever filter', async () => {
    const { call } = await withFleet();
    expect(await pages(call, '/instances?limit=3')).toEqual([['d', 'c', 'a'], ['b']]);
    expect(await pages(call, '/instances?limit=2')).toEqual([['d', 'c'], ['a', 'b']]);
    expect(await pages(call, '/instances?limit=4')).toEqual([['d', 'c', 'a', 'b']]);
    expect(await pages(call, '/instances?limit=1&type=game&group=kr-1')).toEqual([['a'], ['b']]);
    expect((await pages(call, '/instances?limit=1&label.version=2')).flat()).toEqual(['c', 'b']);
  });

  test('goes on behind an instance that is gone by now, and does not show one twice', async () => {
    const { call } = await withFleet();
    const first = await call.get('/instances?limit=3').expect(200);
    expect(first.body.next).toBe('game:kr-1:a');
    await call.delete('/instances/a').expect(204);
    await call.post('/instances').send(registration({ instanceId: 'a0', type: 'game', group: 'eu-1' })).expect(201);
    const second = await call.get('/instances?after=game:kr-1:a').expect(200);
    expect(second.body).toMatchObject({ instances: [{ instanceId: 'b' }] });
  });

  test('gives 1,000 at most unless asked for more, and up to 10,000 of one group', async () => {
    const { call, registry } = gateway();
    const complete = { type: 'game', group: 'kr-1', hostname: 'h', incarnation: 'life-1', ports: [], status: 'ready' as const, ttlSeconds: 30 };
    const ids = Array.from({ length: 1001 }, (_, i) => `game-${String(i).padStart(4, '0')}`);
    await Promise.all(ids.map((instanceId) => registry.register({ ...complete, instanceId }, { name: 'test' })));
    const count = async (query: string) => {
      const { body } = await call.get(`/instances${query}`).expect(200);
      return [body.instances.length, body.next];
    };
    expect(await count('')).toEqual([1000, 'game:kr-1:game-0999']);
    expect(await count('?type=game')).toEqual([1000, 'game:kr-1:game-0999']);
    expect(await count('?limit=10000')).toEqual([1001, undefined]);
    expect(await count('?type=game&group=kr-1')).toEqual([1001, undefined]);
    expect(await count('?after=game:kr-1:game-0999')).toEqual([1, undefined]);
    expect((await pages(call, '/instances?limit=400')).flat()).toEqual(ids);
  });

  test('refuses a label that is asked for twice, in whatever spelling, and what is no label', async () => {
    const { call } = gateway();
    expectProblem(await call.get('/instances?label.zone=x&label[zone]=y'), 400, 'invalid_request', '?label[zone]');
    for (const query of ['label[zone', 'label[]', 'label[a][b]', 'label', 'labels[zone]']) {
      expectProblem(await call.get(`/instances?${query}=x`), 400, 'invalid_request', `?${query}`);
    }
  });

  test('refuses a position that is none', async () => {
    const { call } = gateway();
    expectProblem(await call.get('/instances?after=game:kr-1'), 400, 'invalid_request', '?after');
  });
});
