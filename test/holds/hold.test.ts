import { expect, test } from 'vitest';
import { buildGateway, caller, TOKEN } from '../helpers/gateway.js';
import { redisNow } from '../helpers/store.js';
import { until } from '../helpers/until.js';
import { watchFrames } from '../helpers/watch-frames.js';
import { keepBeating, listed, names, openSwept, registerAll, suspects, type Listed, type Swept } from './helpers.js';

const SILENT = names(30);
const LIVE = names(20, 'live');
const TTL_MS = 2000;

/** Sixty of a hundred fall silent at once. */
async function mostFallSilent() {
  const gateway = await openSwept();
  await registerAll(gateway, [...SILENT, ...LIVE], { ttlSeconds: TTL_MS / 1000 });
  keepBeating(gateway, LIVE);
  await until(async () => (await listed(gateway)).instances.length === SILENT.length + LIVE.length); // all are read
  return gateway;
}

/** Looks at the list all the time until the hold is over: how few it had, and whether a live one was marked. */
async function observe(gateway: Swept) {
  const seen = { fewest: Infinity, liveMarked: 0 };
  await until(async () => {
    const { instances } = await listed(gateway);
    const [held] = await gateway.events('held');
    if (held?.until !== undefined && (await redisNow(gateway.raw)) >= Date.parse(held.until)) return true;
    seen.fewest = Math.min(seen.fewest, instances.length);
    if (instances.some(({ instanceId, suspect }) => suspect && instanceId.startsWith('live'))) seen.liveMarked++;
    return false;
  }, 15_000, 10);
  return seen;
}

test('60 % of 50 silent: all stay listed for one ttl, marked; then it is told once that they are released, and the dead leave, each once', async () => {
  const gateway = await mostFallSilent();
  const seen = await observe(gateway);
  expect(seen).toEqual({ fewest: 50, liveMarked: 0 });
  await until(async () => (await gateway.events('expired')).length >= 30);
  expect((await listed(gateway)).instances).toHaveLength(20);
  const [held, ...more] = await gateway.events('held', 'released');
  expect(more).toHaveLength(1);
  expect(held).toMatchObject({ kind: 'held', cause: 'mass-lapse', type: 'game', group: 'kr-1', members: '50' });
  expect(Number(held?.late)).toBeGreaterThanOrEqual(26);
  expect(more[0]).toMatchObject({ kind: 'released', cause: 'time', type: 'game', group: 'kr-1' });
  expect(Date.parse(held?.until ?? '') - Date.parse(held?.since ?? '')).toBe(TTL_MS);
  const expired = (await gateway.events('expired')).map(({ instanceId }) => instanceId).sort();
  expect(expired).toEqual([...SILENT].sort());
});

test('a hold shows in bodies, tags, groups and on a replica that starts during it, the same everywhere', async () => {
  const gateway = await mostFallSilent();
  const other = await buildGateway({ prefix: gateway.prefix, fromMemory: true, cleanup: () => undefined });
  try {
    const before = await listed(gateway);
    await until(async () => (await suspects(gateway)).length === 30, 6000);
    const during = await listed(gateway);
    expect(during.etag).not.toBe(before.etag);
    await until(async () => (await listed(other)).etag === (await listed(gateway)).etag);
    const { body } = await gateway.call.get('/groups').expect(200);
    expect(body.groups).toMatchObject([{ instances: 50, suspects: 30, hold: { members: 50, late: expect.any(Number) as number } }]);
    const { since, until: ends } = (body.groups as { hold: { since: string; until: string } }[])[0]?.hold ?? { since: '', until: '' };
    expect(Date.parse(ends) - Date.parse(since)).toBe(TTL_MS);
    const started = await gateway.startAnother();
    const { answer } = await started.discover({ type: 'game', group: 'kr-1', limit: 10_000 });
    expect(answer.etag).toBe((await listed(gateway)).etag);
    expect(answer.read().instances.filter(({ suspect }) => suspect)).toHaveLength(30);
    expect((await started.groups()).groups).toMatchObject([{ suspects: 30, hold: { members: 50 } }]);
    await until(async () => (await listed(gateway)).instances.length === 20);
    expect((await gateway.call.get('/groups')).body.groups[0]).not.toHaveProperty('hold');
    await until(async () => (await listed(other)).etag === (await listed(gateway)).etag);
  } finally {
    await other.app.close();
    await other.reader.stop();
    other.store.connection.disconnect();
    other.raw.disconnect();
  }
});

test('a heartbeat clears the mark, and who came back in time never leaves', async () => {
  const gateway = await mostFallSilent();
  await until(async () => (await suspects(gateway)).length === 30, 6000);
  const { etag } = await listed(gateway);
  const back = SILENT.slice(0, 12);
  await gateway.call.post('/heartbeats').send(back.map((instanceId) => ({ instanceId }))).expect(200);
  await until(async () => (await suspects(gateway)).length === 18);
  expect((await listed(gateway)).etag).not.toBe(etag);
  keepBeating(gateway, back);
  await until(async () => (await gateway.events('expired')).length >= 18);
  await until(async () => (await listed(gateway)).instances.length === 32);
  expect((await gateway.events('expired')).map(({ instanceId }) => instanceId).sort()).toEqual(SILENT.slice(12).sort());
});

test('a suspect can be looked at, patched and removed, and registered again by another process', async () => {
  const gateway = await mostFallSilent();
  await until(async () => (await suspects(gateway)).length === 30, 6000);
  const { call } = gateway;
  await call.get('/instances/i-0').expect(200, /"suspect":true/);
  await call.delete('/instances/i-0').expect(204);
  await call.delete('/instances/i-0').expect(404);
  expect((await call.patch('/instances/i-1').send({ customState: 'looked after' }).expect(200)).body).toMatchObject({ customState: 'looked after' });
  await until(async () => (await listed(gateway)).instances.some((one) => one.instanceId === 'i-1' && one.suspect && 'customState' in one));
  await call.post('/instances').send({ type: 'game', group: 'kr-1', hostname: 'h', instanceId: 'i-2', incarnation: 'life-2', ttlSeconds: 30 }).expect(200);
  await until(async () => (await suspects(gateway)).length === 28);
  expect(await suspects(gateway)).not.toContain('i-2');
  expect((await gateway.events('removed')).map(({ instanceId }) => instanceId)).toEqual(['i-0']);
  expect((await gateway.events('registered')).at(-1)).toMatchObject({ instanceId: 'i-2', lapsed: '1' });
  await until(async () => (await gateway.events('expired')).length >= 28);
  expect((await gateway.events('expired')).map(({ instanceId }) => instanceId)).not.toContain('i-2');
});

test('a long poll wakes when members become suspect', async () => {
  const gateway = await mostFallSilent();
  const url = '/instances?type=game&group=kr-1';
  await until(async () => (await gateway.events('registered')).length === 50);
  const { etag } = await listed(gateway);
  const { status, body } = await gateway.call.get(url).set('If-None-Match', etag).set('Prefer', 'wait=10');
  expect(status).toBe(200);
  expect((body.instances as Listed[]).length).toBe(50);
  expect((body.instances as Listed[]).some(({ suspect }) => suspect)).toBe(true);
});

test('watchers are told of the hold and of its end, with what it is about, and of each departure once', async () => {
  const gateway = await mostFallSilent();
  const { frames, kinds } = await watchFrames(gateway.registry);
  await until(() => kinds().filter((kind) => kind === 'expired').length >= 30, 10_000);
  expect(kinds().filter((kind) => ['held', 'released', 'removed'].includes(kind))).toEqual(['held', 'released']);
  expect(kinds().filter((kind) => kind === 'expired')).toHaveLength(30);
  const held = frames.find(({ event }) => event === 'held')?.json<{ hold: object }>();
  expect(held?.hold).toMatchObject({ type: 'game', group: 'kr-1', members: 50 });
  expect(kinds().indexOf('released')).toBeLessThan(kinds().indexOf('expired'));
});

test('the history tells of the hold', async () => {
  const gateway = await mostFallSilent();
  await until(async () => (await gateway.events('held')).length > 0, 6000);
  const { body } = await caller(gateway.app.server, TOKEN).get('/events?limit=100').expect(200);
  expect((body.events as { kind: string }[]).filter(({ kind }) => kind === 'held')).toMatchObject([{ cause: 'mass-lapse', hold: { type: 'game', group: 'kr-1', members: 50 } }]);
});
