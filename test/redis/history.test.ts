import { expect, test, vi } from 'vitest';
import { LookBack } from '../../src/redis/log/history.js';
import type { Change } from '../../src/registry/log/change.js';
import type { HistoryQuery } from '../../src/registry/queries.js';
import { parseRevision, type Position } from '../../src/registry/revision.js';
import type { History, ServedRegistry } from '../../src/registry/served/served-registry.js';
import { openRegistry } from '../helpers/gateway.js';
import { eventsIn } from '../helpers/events.js';
import { CALLER, complete, lapse } from '../helpers/store.js';

const textOf = ({ kind, record: { type, group, instanceId } }: Change) => `${kind} ${type}:${group}:${instanceId}`;
const idsOf = ({ changes }: History) => changes.map(({ id }) => id);

/** A log with changes of every kind there is yet, in two groups. */
async function openLog() {
  const opened = await openRegistry();
  const { registry, maintenance, raw, keys } = opened;
  for (const instanceId of ['a', 'b', 'c', 'd']) await registry.register(complete({ instanceId, group: instanceId < 'c' ? 'kr-1' : 'us-1' }), CALLER);
  await registry.patch('a', { status: 'error' }, { name: 'operator' });
  await registry.register(complete({ instanceId: 'b', group: 'us-1', incarnation: 'life-2' }), CALLER);
  await registry.remove('c', {}, { name: 'operator' });
  await lapse(raw, keys, ['d'], 'game:us-1');
  await maintenance.sweep();
  const log = (await raw.xrange(keys.events, '-', '+')).map(([id]) => id);
  const { epoch } = parseRevision((await registry.discover({ limit: 1 })).revision) as Position;
  return { ...opened, log, epoch };
}

async function allPages(registry: ServedRegistry, query: HistoryQuery, forward: boolean, epoch: string) {
  const pages: History[] = [];
  for (let at: Position | undefined = forward ? { epoch, id: '' } : undefined; ; ) {
    const page = await registry.history({ ...query, ...(at && (forward ? { after: at } : { before: at })) });
    pages.push(page);
    if (page.next === undefined) return pages;
    at = { epoch, id: page.next };
  }
}

test('the log is told latest first, or from a position on oldest first, with what led to each change', async () => {
  const { registry, log, epoch } = await openLog();
  const latest = await registry.history({ limit: 100 });
  expect(latest).toMatchObject({ epoch, next: undefined, gap: false });
  expect(idsOf(latest)).toEqual([...log].reverse());
  const oldest = await registry.history({ limit: 100, after: { epoch, id: '' } });
  expect(oldest.changes.map(textOf)).toEqual([
    'registered game:kr-1:a', 'registered game:kr-1:b', 'registered game:us-1:c', 'registered game:us-1:d',
    'updated game:kr-1:a', 'registered game:us-1:b', 'removed game:us-1:c', 'expired game:us-1:d',
  ]);
  expect(oldest.changes[4]).toMatchObject({ cause: 'patch', by: 'operator' });
  expect(oldest.changes[5]).toMatchObject({ replaces: 'life-1', lapsed: false, from: { type: 'game', group: 'kr-1' } });
  expect(oldest.changes[6]).toMatchObject({ cause: 'deregister', by: 'operator' });
  expect(oldest.changes[7]).toMatchObject({ cause: 'lease' });
  expect(Date.parse(oldest.changes[7]?.deadline ?? '')).toBeLessThanOrEqual(Date.now() + 1000);
});

test.each([1, 2, 3, 8])('pages of %i hold every change once, in both directions', async (limit) => {
  const { registry, log, epoch } = await openLog();
  expect((await allPages(registry, { limit }, true, epoch)).flatMap(idsOf)).toEqual(log);
  expect((await allPages(registry, { limit }, false, epoch)).flatMap(idsOf)).toEqual([...log].reverse());
});

test('it is filtered by type, group, id, kind and what the caller may see', async () => {
  const { registry, epoch } = await openLog();
  const told = async (query: Partial<HistoryQuery>) => (await allPages(registry, { limit: 2, ...query }, true, epoch)).flatMap(({ changes }) => changes.map(textOf));
  expect(await told({ type: 'chat' })).toEqual([]);
  expect(await told({ group: 'kr-1', type: 'game' })).toEqual(['registered game:kr-1:a', 'registered game:kr-1:b', 'updated game:kr-1:a']);
  expect(await told({ instanceId: 'b' })).toEqual(['registered game:kr-1:b', 'registered game:us-1:b']);
  expect(await told({ kinds: ['expired', 'removed'] })).toEqual(['removed game:us-1:c', 'expired game:us-1:d']);
  expect(await told({ scope: { groups: ['us-*'] }, kinds: ['registered'] })).toEqual(['registered game:us-1:c', 'registered game:us-1:d', 'registered game:us-1:b']);
});

test('a gap is said where the log no longer goes back so far, or is another', async () => {
  const { registry, raw, keys, log, epoch } = await openLog();
  const gapAfter = async (at: Position) => (await registry.history({ limit: 1, after: at })).gap;
  expect(await gapAfter({ epoch, id: '' })).toBe(false);
  expect(await gapAfter({ epoch, id: log[2] as string })).toBe(false);
  expect(await gapAfter({ epoch: 'other', id: log[2] as string })).toBe(true);
  await raw.xtrim(keys.events, 'MAXLEN', 4);
  expect(await gapAfter({ epoch, id: '' })).toBe(true);
  expect(await gapAfter({ epoch, id: log[2] as string })).toBe(true);
  expect(await gapAfter({ epoch, id: log[4] as string })).toBe(false);
});

test('entries written by hand and kinds that are not known here are passed over', async () => {
  const { registry, raw, keys, log } = await openLog();
  await raw.xadd(keys.events, '*', 'hello', 'world');
  await raw.xadd(keys.events, '*', 'kind', 'renamed', 'prev', log.at(-1) as string, 'instanceId', 'a', 'type', 'game', 'group', 'kr-1');
  expect(idsOf(await registry.history({ limit: 100 }))).toEqual([...log].reverse());
});

// What HTTP takes for a revision of this API comes here as it is: none of it is the store's fault.
test.each(['e.0-0', 'e.00-0', 'e.0-00', 'e.1-99999999999999999999', 'e.9999999999999999-18446744073709551615', 'e.9999999999999999-99999999999999999999'])(
  'a position that never was, %s, is answered as such and not as a failure of the store',
  async (revision) => {
    const { registry } = await openLog();
    const at = parseRevision(revision);
    if (!at) return; // refused before it comes here
    await expect(registry.history({ limit: 10, after: at })).resolves.toMatchObject({ gap: true });
    await expect(registry.history({ limit: 10, before: at })).resolves.toBeDefined();
  },
);

test('what follows a position is given only where the log goes on from it', async () => {
  const { store, raw, keys, log, epoch } = await openLog();
  const after = async (id: string) => (await new LookBack(store).changesAfter({ epoch, id }, {}))?.changes.map((one) => one.id);
  expect(await after('')).toEqual(log);
  for (const [i, id] of log.entries()) expect(await after(id)).toEqual(i + 1 < log.length ? log.slice(i + 1) : undefined);
  expect(await after('5-5')).toBeUndefined();
  expect(await after(`${(log[3] as string).split('-')[0]}-1`)).toBeUndefined();
  await raw.xtrim(keys.events, 'MAXLEN', 3);
  expect(await after(log[4] as string)).toEqual(log.slice(5)); // trimmed itself, and the next one names it
  expect(await after(log[3] as string)).toBeUndefined();
  expect(await after('')).toBeUndefined();
  await raw.del(keys.events);
  expect(await after(log.at(-1) as string)).toBeUndefined();
});

test('a filter that nothing matches does not read a long log in one request, and its pages come to the end', async () => {
  const { registry, raw, keys, epoch } = await openLog();
  const prev = (await eventsIn(raw, keys.events)).length;
  const pipeline = raw.pipeline();
  for (let i = 0; i < 12_000; i++) pipeline.xadd(keys.events, '*', 'kind', 'updated', 'prev', '1-1', 'instanceId', 'x', 'type', 'game', 'group', 'kr-1');
  await pipeline.exec();
  const pages = await allPages(registry, { limit: 100, instanceId: 'nobody' }, true, epoch);
  expect(pages.map(({ changes }) => changes.length)).toEqual([0, 0, 0]);
  expect((await allPages(registry, { limit: 100, instanceId: 'a' }, false, epoch)).flatMap(idsOf)).toHaveLength(2);
  expect(prev).toBe(8);
});

test('an entry that a filter leaves out does not leave Redis, and those who come back together share what is read', async () => {
  const { store, epoch, log } = await openLog();
  const decode = vi.spyOn(JSON, 'parse');
  const past = new LookBack(store);
  await past.page({ limit: 100, instanceId: 'nobody' });
  expect(decode.mock.calls.map(([text]) => text)).toEqual(['[]']);
  decode.mockRestore();
  const reads = vi.spyOn(store.scripts, 'run');
  const all = await Promise.all(Array.from({ length: 50 }, () => past.changesAfter({ epoch, id: log[0] as string }, { group: 'us-1' })));
  expect(reads).toHaveBeenCalledTimes(1);
  expect(all.map((one) => one?.changes.length)).toEqual(all.map(() => 5));
});

test('one look brings 256 KB of large entries, and the pages hold them all, once and in order', async () => {
  const { registry, store, raw, keys, epoch } = await openLog();
  const pipeline = raw.pipeline();
  for (let i = 0; i < 300; i++) pipeline.xadd(keys.events, `9${Date.now()}-${i}`, 'kind', 'updated', 'prev', '1-1', 'instanceId', 'x', 'type', 'game', 'group', 'kr-1', 'customState', 'x'.repeat(8000));
  await pipeline.exec();
  const ids = (await raw.xrange(keys.events, '-', '+')).map(([id]) => id);
  const looks = vi.spyOn(store.scripts, 'run');
  for (const forward of [true, false]) {
    const pages = await allPages(registry, { limit: 70 }, forward, epoch);
    expect(pages.flatMap(idsOf)).toEqual(forward ? ids : [...ids].reverse());
  }
  const replies = (await Promise.all(looks.mock.results.map(({ value }) => value as Promise<unknown>))).flatMap((reply) => ((reply as unknown[]).length === 4 && typeof (reply as unknown[])[3] === 'string' ? [(reply as string[])[3] as string] : []));
  expect(replies.length).toBeGreaterThan(16);
  expect(Math.max(...replies.map(({ length }) => length))).toBeLessThan(270 * 1024);
});

test('few look back at once, a hundred wait, and more are refused as overload', async () => {
  const { store } = await openLog();
  const past = new LookBack(store);
  const all = await Promise.allSettled(Array.from({ length: 150 }, () => past.page({ limit: 1 })));
  const refused = all.filter((one) => one.status === 'rejected').map(({ reason }) => (reason as { code: string }).code);
  expect(refused).toEqual(Array.from({ length: 48 }, () => 'overloaded'));
  await expect(past.page({ limit: 1 })).resolves.toBeDefined();
});
