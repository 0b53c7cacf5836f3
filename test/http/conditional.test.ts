import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { buildGateway, registration } from '../helpers/gateway.js';
import { sharedGateway } from '../helpers/shared-gateway.js';
import { until } from '../helpers/until.js';

const gateway = sharedGateway();

const KR = '/instances?type=game&group=kr-1';
/** The whole of it is a game server of kr-1 that came with this body. */
const whole = { instanceId: 'a', incarnation: 'life-1', labels: { zone: 'x' }, ports: [7777], publicIp: '203.0.113.7' };

type Call = ReturnType<typeof gateway>['call'];

const register = (fields: object) => gateway().call.post('/instances').send(registration(fields as Record<string, unknown>));
const tagOf = async (path = KR, call: Call = gateway().call) => (await call.get(path).expect(200)).headers.etag as string;
const given = (tag: string, path = KR) => gateway().call.get(path).set('If-None-Match', tag);

async function withOne() {
  await register(whole).expect(201);
  return tagOf();
}

describe('the tag', () => {
  test('is weak, for bytes follow heartbeats, and stands beside a revision and leave to keep it only if asked about', async () => {
    await withOne();
    const { headers } = await gateway().call.get(KR).expect(200);
    expect(headers.etag).toMatch(/^W\/"[\w-]+"$/);
    expect(headers['x-revision']).toMatch(/^[A-Za-z0-9]+\.\d+-\d+$/);
    expect(headers['cache-control']).toBe('private, no-cache');
  });

  const changes: [what: string, change: (call: Call) => PromiseLike<{ status: number }>][] = [
    ['status', (call) => call.patch('/instances/a').send({ status: 'error' })],
    ['customState', (call) => call.patch('/instances/a').send({ customState: 'loading' })],
    ['a label', (call) => call.patch('/instances/a').send({ labels: { zone: 'y' } })],
    ['a label that goes', (call) => call.patch('/instances/a').send({ labels: { zone: null } })],
    ['cordoned', (call) => call.patch('/instances/a').send({ cordoned: true })],
    ['a status in a heartbeat', (call) => call.post('/instances/a/heartbeat').send({ status: 'error' })],
    ['ports', () => register({ ...whole, ports: [7778] })],
    ['the public address', () => register({ ...whole, publicIp: '203.0.113.8' })],
    ['the private address', () => register({ ...whole, privateIp: '10.0.0.9' })],
    ['the hostname', () => register({ ...whole, hostname: 'game-2.example.com' })],
    ['systemInfo', () => register({ ...whole, systemInfo: { cores: 8 } })],
    ['another incarnation in its place', () => register({ ...whole, incarnation: 'life-2' })],
    ['one more', () => register({ instanceId: 'b' })],
    ['one less', (call) => call.delete('/instances/a')],
    ['a move to another group', () => register({ ...whole, group: 'eu-1' })],
  ];

  test.each(changes)('changes with %s, of its group and of everything', async (_what, change) => {
    const before = [await withOne(), await tagOf('/instances')];
    expect((await change(gateway().call)).status).toBeLessThan(300);
    const after = [await tagOf(), await tagOf('/instances')];
    expect(after[0]).not.toBe(before[0]);
    expect(after[1]).not.toBe(before[1]);
    expect((await given(before[0] as string)).status).toBe(200);
  });

  test('changes when a lease ends, before its event, and is the old one again when a heartbeat comes in between', async () => {
    const before = await tagOf();
    await register({ ...whole, ttlSeconds: 1 }).expect(201);
    const live = await tagOf();
    await until(async () => (await tagOf()) === before, 3000);
    await gateway().call.post('/instances/a/heartbeat').expect(200);
    expect(await tagOf()).toBe(live);
  });

  test('does not change with heartbeats, performance, a repeated registration, a patch that says nothing new, or another group', async () => {
    const { call } = gateway();
    const before = await withOne();
    await call.post('/instances/a/heartbeat').expect(200);
    await call.post('/instances/a/heartbeat').send({ performance: { tps: 60 }, status: 'ready' }).expect(200);
    await register(whole).expect(200);
    await call.patch('/instances/a').send({ status: 'ready', labels: { zone: 'x' } }).expect(200);
    await register({ instanceId: 'elsewhere', group: 'eu-1' }).expect(201);
    expect(await tagOf()).toBe(before);
    await given(before).expect(304);
  });

  test('does not depend on what is asked of freshness', async () => {
    const { body } = await register(whole).expect(201);
    const tags = await Promise.all(['', `&minRevision=${body.revision}`, '&consistency=strong'].map((more) => tagOf(`${KR}${more}`)));
    expect(new Set(tags).size).toBe(1);
  });

  test('is the old one again when a change is taken back', async () => {
    const { call } = gateway();
    const before = await withOne();
    await call.patch('/instances/a').send({ status: 'error', labels: { zone: null, more: '1' }, customState: 'odd' }).expect(200);
    expect(await tagOf()).not.toBe(before);
    await call.patch('/instances/a').send({ status: 'ready', labels: { zone: 'x', more: null }, customState: null }).expect(200);
    expect(await tagOf()).toBe(before);
    await register({ instanceId: 'b' }).expect(201);
    await call.delete('/instances/b').expect(204);
    expect(await tagOf()).toBe(before);
  });

  test('is the same on another replica, one that read the changes and one that came later', async () => {
    const early = await buildGateway({ prefix: gateway().prefix });
    await register({ ...whole, labels: { zone: 'x', 'a/b': '1', version: '2' } }).expect(201);
    await gateway().call.patch('/instances/a').send({ labels: { aa: '1', version: null }, cordoned: true }).expect(200);
    await register({ instanceId: 'b', group: 'eu-1' }).expect(201);
    const late = await buildGateway({ prefix: gateway().prefix });
    for (const path of [KR, '/instances', '/instances?label.zone=x', '/instances?limit=1', '/instances?limit=1&after=game:eu-1:b']) {
      const tag = await tagOf(path);
      expect([path, await tagOf(path, early.call), await tagOf(path, late.call)]).toEqual([path, tag, tag]);
    }
  });

  test('is that of what the filter lets through: other changes leave it', async () => {
    await withOne();
    await register({ instanceId: 'b', status: 'error' }).expect(201);
    const [ready, labelled, all] = [`${KR}&status=ready`, '/instances?label.zone=x', KR];
    const before = await Promise.all([ready, labelled, all].map((path) => tagOf(path)));
    await gateway().call.patch('/instances/b').send({ customState: 'worse' }).expect(200);
    expect([await tagOf(ready), await tagOf(labelled)]).toEqual(before.slice(0, 2));
    expect(await tagOf(all)).not.toBe(before[2]);
    await gateway().call.patch('/instances/a').send({ customState: 'worse' }).expect(200);
    expect(await tagOf(ready)).not.toBe(before[0]);
    expect(await tagOf(labelled)).not.toBe(before[1]);
  });

  test('is that of a page: its own members, and whether there are more', async () => {
    for (const instanceId of ['a', 'b', 'c']) await register({ instanceId }).expect(201);
    const pages = ['/instances?limit=1', '/instances?limit=1&after=game:kr-1:a', '/instances?limit=1&after=game:kr-1:b'];
    const tags = () => Promise.all(pages.map((path) => tagOf(path)));
    const [one, two, three] = await tags();
    expect(new Set([one, two, three]).size).toBe(3);
    await gateway().call.patch('/instances/b').send({ customState: 'x' }).expect(200);
    const [again, other, third] = await tags();
    expect([again, third, other === two]).toEqual([one, three, false]);
    await given(one as string, pages[0]).expect(304);
    await gateway().call.delete('/instances/c').expect(204);
    expect((await tags())[1]).not.toBe(other); // the same member, and now the last one
  });
});

describe('If-None-Match', () => {
  test('with the tag is 304, with its tag and revision and no body, for a group, a filter and everything', async () => {
    await withOne();
    for (const path of [KR, '/instances', '/instances?status=ready&limit=5']) {
      const tag = await tagOf(path);
      const { status, headers, text } = await given(tag, path);
      expect([status, text, headers.etag]).toEqual([304, '', tag]);
      expect(headers['x-revision']).toMatch(/^[A-Za-z0-9]+\.\d+-\d+$/);
      expect(headers['cache-control']).toBe('private, no-cache');
      expect([headers['content-type'], headers['content-length'], headers['transfer-encoding']]).toEqual([undefined, undefined, undefined]);
    }
  });

  const spellings: [name: string, spell: (tag: string) => string, status: number][] = [
    ['the tag itself', (tag) => tag, 304],
    ['the tag as a strong one', (tag) => tag.slice(2), 304],
    ['blanks around it', (tag) => `  ${tag}  `, 304],
    ['a list that holds it', (tag) => `"other", ${tag}, W/"third"`, 304],
    ['a list without blanks', (tag) => `"other",${tag}`, 304],
    ['a list that ends with it as a strong one', (tag) => `W/"other" , ${tag.slice(2)}`, 304],
    ['*', () => '*', 304],
    ['another tag', () => 'W/"other"', 200],
    ['a list of others', () => '"one", W/"two"', 200],
    ['the tag cut short', (tag) => `${tag.slice(0, -2)}"`, 200],
    ['the tag without quotes', (tag) => tag.slice(3, -1), 200],
    ['a * within a list', () => '"one", *', 200],
    ['nothing', () => '', 200],
  ];

  test.each(spellings)('that is %s', async (_name, spell, status) => {
    const tag = await withOne();
    expect((await given(spell(tag))).status).toBe(status);
  });

  test('sent as several headers is one list', async () => {
    const tag = await withOne();
    const headers = [['x-api-token', 'test-token-of-the-suite'], ['if-none-match', '"other"'], ['if-none-match', tag]] as [string, string][];
    const { port } = gateway().app.server.address() as { port: number };
    expect((await fetch(`http://127.0.0.1:${port}/sd/v1${KR}`, { headers })).status).toBe(304);
  });

  test('does not spare a health check: what is asked for is done', async () => {
    await withOne();
    const { status, headers } = await given('*', `${KR}&healthCheck=true`);
    expect([status, headers.etag]).toEqual([200, undefined]);
  });
});

describe('what heartbeats bring', () => {
  test('is at most two seconds old in a body, of a group, of a filter and by id, though the tag stays', { timeout: 15_000 }, async () => {
    const { call } = gateway();
    for (let i = 0; i < 300; i++) await register({ instanceId: `m-${i}` }).expect(201);
    await withOne();
    const paths = [KR, '/instances?label.zone=x', '/instances?limit=1', '/instances/a'];
    const beats: { n: number; at: number }[] = [];
    const late: string[] = [];
    for (let n = 0; n < 45; n++) {
      await call.post('/instances/a/heartbeat').send({ performance: { n } }).expect(200);
      beats.push({ n, at: performance.now() });
      for (const path of paths) {
        const askedAt = performance.now();
        const { body } = await call.get(path).expect(200);
        const instance = body.instances?.find(({ instanceId }: { instanceId: string }) => instanceId === 'a') ?? body;
        const due = beats.filter(({ at }) => at <= askedAt - 2000).at(-1)?.n ?? -1;
        const shown = (instance.performance?.n as number | undefined) ?? -1;
        if (shown < due) late.push(`${path} shows ${shown}, though ${due} is two seconds old`);
      }
      // Now and then the bytes are made anew for another reason, which must not let old parts live longer.
      if (n % 9 === 4) await call.patch('/instances/m-299').send({ customState: `s-${n}` }).expect(200);
      await sleep(60);
    }
    expect(late).toEqual([]);
    expect(beats.at(-1)!.at - beats[0]!.at).toBeGreaterThan(2500);
  });
});
