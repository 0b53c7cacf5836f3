import { describe, expect, test } from 'vitest';
import { buildGateway, caller, registration } from '../helpers/gateway.js';
import { expectProblem } from '../helpers/problem.js';
import { sharedGateway } from '../helpers/shared-gateway.js';
import { complete } from '../helpers/store.js';
import { secretOf, tokensOf } from '../helpers/tokens.js';
import { until } from '../helpers/until.js';

const tokens = tokensOf(
  { name: 'fleet', verbs: ['read', 'write', 'admin'] },
  { name: 'ops', verbs: ['read', 'write', 'admin'] },
  { name: 'kr', verbs: ['read'], groups: ['kr-*'] },
);
const gateway = sharedGateway({ tokens });
type Call = ReturnType<typeof caller>;
const as = (name: string): Call => caller(gateway().app.server, secretOf(name));

interface Event {
  kind: string;
  revision: string;
  at: string;
  cause: string;
  instance: { instanceId: string; group: string } & Record<string, unknown>;
  [field: string]: unknown;
}
interface Page {
  events: Event[];
  next?: string;
  gap?: boolean;
}

const register = (instanceId: string, fields: object = {}) => as('fleet').post('/instances').send(registration({ instanceId, incarnation: 'life-1', ...fields }));
const page = async (query = '', call = as('fleet')): Promise<Page> => (await call.get(`/events${query}`).expect(200)).body as Page;
const told = ({ events }: Page) => events.map(({ kind, instance }) => `${kind} ${instance.instanceId}`);

/** From this page on to the end, each page in its turn. */
async function pages(query: string, way: 'after' | 'before', from?: string): Promise<Page[]> {
  const all: Page[] = [];
  for (let at = from; ; ) {
    const got = await page(`?${query}${at === undefined ? '' : `&${way}=${at}`}`);
    all.push(got);
    if (got.next === undefined) return all;
    expect(all.length, 'it ends').toBeLessThan(50);
    at = got.next;
  }
}

/** What happens to a small fleet, oldest first. */
const STORY = ['registered a', 'registered b', 'updated a', 'registered c', 'registered a', 'registered c', 'updated b', 'removed a', 'expired d'];

async function story() {
  const { maintenance } = gateway();
  await register('a').expect(201);
  await register('b', { type: 'chat', labels: { zone: 'x' } }).expect(201);
  await as('ops').patch('/instances/a').send({ cordoned: true }).expect(200);
  await register('c', { group: 'eu-1' }).expect(201);
  await register('a', { incarnation: 'life-2' }).expect(200);
  await register('c', { group: 'kr-2' }).expect(200);
  await as('fleet').post('/instances/b/heartbeat').send({ status: 'error', performance: { tps: 1 } }).expect(200);
  await as('ops').delete('/instances/a').expect(204);
  await register('d', { ttlSeconds: 1 }).expect(201);
  await until(async () => (await maintenance.sweep()).evicted.length === 1);
  const { events } = await page();
  return events.filter(({ kind, instance }) => kind !== 'registered' || instance.instanceId !== 'd').reverse();
}

describe('GET /events', () => {
  test('tells what happened, latest first, with the record and what led to it', async () => {
    const events = await story();
    expect(told({ events })).toEqual(STORY);
    const [first, , cordoned, , replaced, moved, beaten, removed, expired] = events;
    for (const event of events) {
      expect(event.revision).toMatch(/^[A-Za-z0-9]+\.\d+-\d+$/);
      expect(Date.parse(event.at)).toBe(Number(/\.(\d+)-/.exec(event.revision)?.[1]));
    }
    expect(first).toEqual({
      kind: 'registered', cause: 'register', by: 'fleet', revision: first?.revision, at: first?.at,
      instance: expect.objectContaining({ instanceId: 'a', incarnation: 'life-1', type: 'game', group: 'kr-1', hostname: 'game-1.example.com', status: 'ready', labels: {}, ttlSeconds: 30 }) as object,
    });
    expect(cordoned).toMatchObject({ cause: 'patch', by: 'ops', instance: { cordoned: true } });
    expect(replaced).toMatchObject({ cause: 'register', replaces: 'life-1', lapsed: false, instance: { incarnation: 'life-2', cordoned: true } });
    expect(moved).toMatchObject({ from: { type: 'game', group: 'eu-1' }, instance: { group: 'kr-2' } });
    expect(beaten).toMatchObject({ cause: 'heartbeat', instance: { status: 'error', labels: { zone: 'x' } } });
    expect(removed).toMatchObject({ cause: 'deregister', by: 'ops', instance: { incarnation: 'life-2', cordoned: true } });
    expect(expired).toMatchObject({ cause: 'lease', instance: { instanceId: 'd' } });
    expect(expired?.by).toBeUndefined();
    expect(Date.parse(expired?.deadline as string)).toBe(Date.parse(expired?.instance.registeredAt as string) + 1000);
  });

  test('says of a registration whether the one in its place had lapsed', async () => {
    await register('a', { ttlSeconds: 1 }).expect(201);
    await until(async () => (await as('fleet').get('/instances')).body.instances.length === 0);
    await register('a', { incarnation: 'life-2' }).expect(200);
    expect((await page('?limit=1')).events).toMatchObject([{ kind: 'registered', replaces: 'life-1', lapsed: true }]);
  });

  test('does not tell of heartbeats, nor of what changes nothing', async () => {
    await register('a').expect(201);
    await register('a').expect(200);
    await as('fleet').post('/instances/a/heartbeat').send({ performance: { tps: 60 } }).expect(200);
    await as('fleet').patch('/instances/a').send({ status: 'ready' }).expect(200);
    expect(told(await page())).toEqual(['registered a']);
  });

  test('of a registry in which nothing has happened is empty', async () => {
    expect(await page()).toEqual({ events: [] });
    expect(await page('?type=game&kind=expired')).toEqual({ events: [] });
  });

  const filters: [query: string, told: string[]][] = [
    ['?type=chat', ['updated b', 'registered b']],
    ['?group=kr-2', ['registered c']],
    ['?type=game&group=eu-1', ['registered c']],
    ['?instanceId=a', ['removed a', 'registered a', 'updated a', 'registered a']],
    ['?kind=expired,removed', ['expired d', 'removed a']],
    ['?kind=updated', ['updated b', 'updated a']],
    ['?kind=updated&type=game', ['updated a']],
    ['?instanceId=a&kind=removed', ['removed a']],
    ['?kind=held', []],
    ['?instanceId=nobody', []],
    ['?limit=2', ['expired d', 'registered d']],
  ];

  test('narrows by type, group, id and kind, all at once', async () => {
    await story();
    for (const [query, expected] of filters) expect([query, told(await page(query))]).toEqual([query, expected]);
  });

  test('shows a limited token only what is its own, and refuses it another group', async () => {
    await story();
    expect(told(await page('', as('kr')))).toEqual([...told(await page())].filter((line, i, all) => !(line === 'registered c' && i === all.lastIndexOf('registered c'))));
    expectProblem(await as('kr').get('/events?type=game&group=eu-1'), 403, 'forbidden');
  });

  test('of a move does not tell a limited token the group it may not see', async () => {
    await register('a', { group: 'secret-1' }).expect(201);
    await register('a', { group: 'kr-1' }).expect(200);
    const { events } = await page('', as('kr'));
    expect(told({ events })).toEqual(['registered a']);
    expect(JSON.stringify(events)).not.toContain('secret-1');
  });
});

describe('paging', () => {
  test('goes back to the first and forward to the last, with each event once, whatever the size of a page', async () => {
    await story();
    const all = (await page()).events;
    for (const limit of [1, 3, all.length, all.length + 1]) {
      const back = await pages(`limit=${limit}`, 'before');
      expect(back.flatMap(({ events }) => events)).toEqual(all);
      const [first] = all.slice(-1);
      const forth = await pages(`limit=${limit}`, 'after', first?.revision);
      expect(forth.flatMap(({ events }) => events)).toEqual(all.slice(0, -1).reverse());
      expect([...back, ...forth].some(({ gap }) => gap)).toBe(false);
      expect(Math.max(...[...back, ...forth].map(({ events }) => events.length))).toBeLessThanOrEqual(limit);
    }
    const middle = all[4];
    expect((await page(`?before=${middle?.revision}`)).events).toEqual(all.slice(5));
    expect((await page(`?after=${middle?.revision}`)).events).toEqual(all.slice(0, 4).reverse());
  });

  test('begins with the very first event after position 0-0', async () => {
    const { body } = await register('a').expect(201);
    const [epoch] = (body.revision as string).split('.');
    const got = await page(`?after=${epoch}.0-0`);
    expect([told(got), got.gap]).toEqual([['registered a'], undefined]);
  });

  test('goes on by the filter, and after the last there is nothing and no gap', async () => {
    await story();
    const some = (await pages('kind=registered&type=game&limit=2', 'before')).flatMap(({ events }) => events);
    expect(told({ events: some })).toEqual(['registered d', 'registered c', 'registered a', 'registered c', 'registered a']);
    expect(await page(`?after=${(await page('?limit=1')).events[0]?.revision}`)).toEqual({ events: [] });
  });

  test('gives 100 unless asked, and up to 1,000', async () => {
    const { registry } = gateway();
    const ids = Array.from({ length: 1100 }, (_, i) => `i-${i}`);
    await Promise.all(ids.map((instanceId) => registry.register(complete({ instanceId }), { name: 'test' })));
    expect((await page()).events).toHaveLength(100);
    const most = await page('?limit=1000');
    expect([most.events.length, most.next]).toEqual([1000, most.events.at(-1)?.revision]);
    expect((await page(`?limit=1000&before=${most.next}`)).events).toHaveLength(100);
  });

  test('looks through a long log in steps: a page may be empty and have a next', async () => {
    const { registry } = gateway();
    await register('needle').expect(201);
    for (let i = 0; i < 6000; i += 500) {
      await Promise.all(Array.from({ length: 500 }, (_, n) => registry.register(complete({ instanceId: `i-${n}`, customState: String(i) }), { name: 'test' })));
    }
    const got = await pages('instanceId=needle', 'before');
    expect(got.flatMap((one) => told(one))).toEqual(['registered needle']);
    expect(got[0]).toEqual({ events: [], next: expect.any(String) as string });
  });
});

describe('a log that was trimmed', () => {
  test('says that there is a gap where it is asked to go on from what is gone, and only there', async () => {
    const small = await buildGateway({ eventsMax: 100 });
    const get = async (query: string) => (await small.call.get(`/events${query}`).expect(200)).body as Page;
    const { body } = await small.call.post('/instances').send(registration({ instanceId: 'first' })).expect(201);
    const first = body.revision as string;
    // Redis trims whole nodes of 100 entries.
    for (let i = 0; i < 400; i++) await small.registry.register(complete({ instanceId: 'again', customState: String(i) }), { name: 'test' });
    const kept = await get('?limit=1000');
    expect(kept.events.length).toBeLessThan(300);
    expect([kept.next, kept.gap]).toEqual([undefined, undefined]);
    const [epoch] = first.split('.');
    for (const gone of [first, `${epoch}.0-0`, 'another1.1763683261450-1']) {
      const got = await get(`?limit=1000&after=${gone}`);
      expect([gone, got.gap, got.events.length]).toEqual([gone, true, kept.events.length]);
    }
    const oldest = kept.events.at(-1)?.revision;
    const rest = await get(`?limit=1000&after=${oldest}`);
    expect([rest.gap, rest.events.length]).toEqual([undefined, kept.events.length - 1]);
    expect((await get(`?before=${oldest}`)).events).toEqual([]);
  });
});

describe('a wrong question', () => {
  const wrong: [query: string, pointer: string][] = [
    ['?after=', '?after'], ['?after=x', '?after'], ['?after=1-1', '?after'], ['?after=e.1', '?after'], ['?before=e.a-b', '?before'], ['?before=-', '?before'], ['?after=%2B', '?after'],
    ['?after=e.1-1&before=e.2-1', '?before'], ['?kind=gone', '?kind'], ['?kind=removed,', '?kind'], ['?limit=0', '?limit'], ['?limit=1001', '?limit'], ['?limit=x', '?limit'],
    ['?type=a:b', '?type'], ['?group=', '?group'], ['?instanceId=*', '?instanceId'], ['?status=ready', '?status'], ['?kind=removed&kind=expired', '?kind'],
  ];

  test.each(wrong)('%s is refused, naming %s', async (query, pointer) => {
    expectProblem(await as('fleet').get(`/events${query}`), 400, 'invalid_request', pointer);
  });
});
