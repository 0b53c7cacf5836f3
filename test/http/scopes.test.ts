import type { ServedRegistry } from '../../src/registry/served/served-registry.js';
import { ScopedRegistry } from '../../src/registry/served/scoped-registry.js';
import { describe, expect, test } from 'vitest';
import { caller, registration } from '../helpers/gateway.js';
import { expectProblem } from '../helpers/problem.js';
import { sharedGateway } from '../helpers/shared-gateway.js';
import { secretOf, tokensOf } from '../helpers/tokens.js';

const gateway = sharedGateway({
  tokens: tokensOf(
    { name: 'all', verbs: ['read', 'write', 'admin'] },
    { name: 'game-kr', verbs: ['read', 'write', 'admin'], types: ['game'], groups: ['kr-*'] },
    { name: 'any-kr', verbs: ['read', 'write'], groups: ['kr-*'] },
    { name: 'pattern', verbs: ['read', 'write'], types: ['g*e', 'a.b'] },
  ),
});
const as = (name: string) => caller(gateway().app.server, secretOf(name));

/** One instance within the scope of game-kr and two outside. */
async function withFleet() {
  const all = as('all');
  await all.post('/instances').send(registration({ instanceId: 'mine', incarnation: 'life-1' })).expect(201);
  await all.post('/instances').send(registration({ instanceId: 'theirs', incarnation: 'life-1', group: 'eu-1' })).expect(201);
  await all.post('/instances').send(registration({ instanceId: 'chat', incarnation: 'life-1', type: 'chat' })).expect(201);
  const everything = async () => (await all.get('/instances').expect(200)).body as unknown;
  return { all, scoped: as('game-kr'), everything };
}

describe('a token for some types and groups', () => {
  test('does everything within them', async () => {
    const { scoped } = await withFleet();
    await scoped.post('/instances').send(registration({ group: 'kr-9' })).expect(201);
    await scoped.post('/instances').send(registration({ instanceId: 'mine', incarnation: 'life-1' })).expect(200);
    await scoped.post('/instances').send(registration({ instanceId: 'mine', incarnation: 'life-1', group: 'kr-2' })).expect(200);
    await scoped.get('/instances/mine').expect(200);
    await scoped.patch('/instances/mine').send({ cordoned: true }).expect(200);
    await scoped.post('/instances/mine/heartbeat').send({ incarnation: 'life-1', status: 'error' }).expect(200);
    expectProblem(await scoped.delete('/instances/mine?group=kr-1'), 404, 'instance_not_found');
    expectProblem(await scoped.delete('/instances/mine?incarnation=life-0'), 409, 'stale_incarnation');
    await scoped.delete('/instances/mine?type=game&group=kr-2&incarnation=life-1').expect(204);
  });

  test.each(['theirs', 'chat'])('may not look at, change, renew, take over or remove %s', async (id) => {
    const { scoped, everything } = await withFleet();
    const before = await everything();
    const attempts = [
      () => scoped.get(`/instances/${id}`),
      () => scoped.patch(`/instances/${id}`).send({ status: 'error' }),
      () => scoped.patch(`/instances/${id}`).send({ cordoned: true }),
      () => scoped.post(`/instances/${id}/heartbeat`),
      () => scoped.post(`/instances/${id}/heartbeat`).send({ incarnation: 'life-1', status: 'error' }),
      () => scoped.post('/instances').send(registration({ instanceId: id })),
      () => scoped.delete(`/instances/${id}`),
      () => scoped.delete(`/instances/${id}?incarnation=life-1`),
    ];
    for (const attempt of attempts) expectProblem(await attempt(), 403, 'forbidden');
    expect(await everything()).toEqual(before);
  });

  test.each([{ group: 'eu-1' }, { group: 'kr' }, { group: 'xkr-1' }, { type: 'chat' }, { type: 'games' }, { group: undefined }])('may not register into %j, nor move its own there', async (home) => {
    const { scoped, everything } = await withFleet();
    const before = await everything();
    expectProblem(await scoped.post('/instances').send(registration(home)), 403, 'forbidden');
    expectProblem(await scoped.post('/instances').send(registration({ instanceId: 'mine', incarnation: 'life-1', ...home })), 403, 'forbidden');
    expect(await everything()).toEqual(before);
  });

  test('is told 404 for an id that nobody has', async () => {
    const { scoped } = await withFleet();
    expectProblem(await scoped.get('/instances/nobody'), 404, 'instance_not_found');
    expectProblem(await scoped.patch('/instances/nobody').send({ status: 'error' }), 404, 'instance_not_found');
    expectProblem(await scoped.post('/instances/nobody/heartbeat'), 404, 'instance_not_found');
    expectProblem(await scoped.delete('/instances/nobody'), 404, 'instance_not_found');
  });

  test('is not told where a foreign instance lives', async () => {
    const { scoped } = await withFleet();
    const { text } = await scoped.get('/instances/theirs').expect(403);
    expect(text).not.toContain('eu-1');
  });

  test('discovers what is within, page by page, without a trace of the rest', async () => {
    const { all, scoped } = await withFleet();
    for (const instanceId of ['a', 'z']) await all.post('/instances').send(registration({ instanceId })).expect(201);
    for (const instanceId of ['b', 'y']) await all.post('/instances').send(registration({ instanceId, group: 'eu-1' })).expect(201);
    const ids = (body: { instances: { instanceId: string }[] }) => body.instances.map(({ instanceId }) => instanceId);
    expect(ids((await scoped.get('/instances').expect(200)).body)).toEqual(['a', 'mine', 'z']);
    expect(ids((await scoped.get('/instances?group=eu-1').expect(200)).body)).toEqual([]);
    const first = (await scoped.get('/instances?limit=2').expect(200)).body;
    expect([ids(first), first.next]).toEqual([['a', 'mine'], 'game:kr-1:mine']);
    expect((await scoped.get('/instances?limit=2&after=game:kr-1:mine').expect(200)).body).toMatchObject({ instances: [{ instanceId: 'z' }] });
    expect(ids((await as('any-kr').get('/instances').expect(200)).body)).toEqual(['chat', 'a', 'mine', 'z']);
  });

  test('is refused a question for a group that is not its own', async () => {
    const { scoped } = await withFleet();
    expectProblem(await scoped.get('/instances?type=game&group=eu-1'), 403, 'forbidden');
    expectProblem(await scoped.get('/instances?type=chat&group=kr-1'), 403, 'forbidden');
    await scoped.get('/instances?type=game&group=kr-7').expect(200);
  });
});

test('in a pattern a star is any run of characters, and all else is itself', async () => {
  const { everything } = await withFleet();
  const before = await everything();
  const pattern = as('pattern');
  for (const type of ['axb', 'g', 'gamer', 'Game']) expectProblem(await pattern.post('/instances').send(registration({ type })), 403, 'forbidden');
  expect(await everything()).toEqual(before);
  for (const type of ['game', 'ge', 'g-some-e', 'a.b']) await pattern.post('/instances').send(registration({ type })).expect(201);
});

test('a heartbeat with a scoped token for an id that is nowhere counts only where nobody lives, for it might be anywhere by then', async () => {
  const sent: unknown[] = [];
  const unknown = { status: 404, code: 'instance_not_found' };
  const nowhere = { locate: (ids: string[]) => Promise.resolve(ids.map(() => undefined)), heartbeat: (beats: unknown[]) => Promise.resolve(beats.map((beat) => (sent.push(beat), unknown))) };
  const scoped = new ScopedRegistry(nowhere as unknown as ServedRegistry, { groups: ['kr-*'] });
  expect(await scoped.heartbeat([{ instanceId: 'x' }])).toEqual([unknown]);
  expect(sent).toEqual([{ instanceId: 'x', home: { type: '', group: '' } }]);
});
