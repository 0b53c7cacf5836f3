import { beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import type { Registry, WatchMessage } from '../../src/registry/registry.js';
import { revisionOf } from '../../src/registry/revision.js';
import { CALLER, complete } from '../helpers/store.js';
import { until } from '../helpers/until.js';

/** What every `Registry` keeps, whatever it is made of. `open` gives an empty one, which lives as long as the test. */
export function keepsTheContract(name: string, open: () => Promise<Registry>) {
  describe(name, () => {
    let registry: Registry;
    beforeEach(async () => {
      registry = await open();
    });
    const register = (fields: Parameters<typeof complete>[0] = {}) => registry.register(complete(fields), CALLER);
    const code = (call: Promise<unknown>) => call.then(() => 'done', (error: { code?: string }) => error.code);
    const idsOf = async (query: Parameters<Registry['discover']>[0]) => (await registry.discover(query, { strong: true })).instances.map(({ instanceId }) => instanceId);

    test('who registers is found, by the revision that it was answered, on this very read', async () => {
      const { outcome, revision } = await register({ instanceId: 'a', labels: { zone: 'x' } });
      expect(outcome).toBe('created');
      const { found, staleMs, recoveringMs } = await registry.find('a', { minRevision: revision });
      expect(found).toMatchObject({ revision, instance: { instanceId: 'a', incarnation: 'life-1', type: 'game', group: 'kr-1', labels: { zone: 'x' }, cordoned: false } });
      expect([staleMs, recoveringMs]).toEqual([undefined, undefined]);
    });

    test('the same registration again is no second instance, and another incarnation takes its place', async () => {
      await register({ instanceId: 'a' });
      expect((await register({ instanceId: 'a' })).outcome).not.toBe('created');
      expect((await register({ instanceId: 'a', incarnation: 'life-2', group: 'us-1' })).outcome).not.toBe('created');
      const { instances } = await registry.discover({ limit: 10 }, { strong: true });
      expect(instances).toMatchObject([{ instanceId: 'a', incarnation: 'life-2', group: 'us-1' }]);
    });

    test('each heartbeat of a batch has a result of its own, in order', async () => {
      await register({ instanceId: 'a' });
      const results = await registry.heartbeat([{ instanceId: 'nobody' }, { instanceId: 'a', performance: { cpu: 0.5 } }, { instanceId: 'a', incarnation: 'another' }]);
      expect(results.map((result) => (result.status === 200 ? 200 : `${result.status} ${result.code}`))).toEqual(['404 instance_not_found', 200, '409 stale_incarnation']);
      expect((await registry.find('a', { strong: true })).found?.instance.performance).toEqual({ cpu: 0.5 });
    });

    test('a heartbeat may change what an instance says of itself', async () => {
      await register({ instanceId: 'a', status: 'initializing' });
      await registry.heartbeat([{ instanceId: 'a', status: 'ready', customState: 'lobby', labels: { map: 'm1' } }]);
      expect((await registry.find('a', { strong: true })).found?.instance).toMatchObject({ status: 'ready', customState: 'lobby', labels: { map: 'm1' } });
    });

    test('a patch changes what it names, and answers with the instance as it is then', async () => {
      await register({ instanceId: 'a', labels: { zone: 'x', map: 'm1' } });
      const { instance, revision } = await registry.patch('a', { status: 'error', labels: { map: null }, cordoned: true }, CALLER);
      expect(instance).toMatchObject({ status: 'error', labels: { zone: 'x' }, cordoned: true });
      expect((await registry.find('a', { minRevision: revision })).found?.instance).toMatchObject({ status: 'error', cordoned: true });
    });

    test('what cannot be changed is refused by a code, and nothing is changed', async () => {
      await register({ instanceId: 'a', labels: Object.fromEntries(Array.from({ length: 32 }, (_, i) => [`l${i}`, 'x'])) });
      expect(await code(registry.patch('nobody', { status: 'ready' }, CALLER))).toBe('instance_not_found');
      expect(await code(registry.patch('a', { labels: { more: 'x' } }, CALLER))).toBe('invalid_request');
      expect(await code(registry.remove('nobody', {}, CALLER))).toBe('instance_not_found');
      expect(await code(registry.remove('a', { group: 'us-1' }, CALLER))).toBe('instance_not_found');
      expect(await code(registry.remove('a', { incarnation: 'another' }, CALLER))).toBe('stale_incarnation');
      expect(Object.keys((await registry.find('a', { strong: true })).found?.instance.labels ?? {})).toHaveLength(32);
    });

    test('who is removed is gone, and cannot be removed twice', async () => {
      await register({ instanceId: 'a' });
      const revision = await registry.remove('a', { type: 'game', group: 'kr-1', incarnation: 'life-1' }, CALLER);
      expect((await registry.find('a', { minRevision: revision })).found).toBeUndefined();
      expect(await code(registry.remove('a', {}, CALLER))).toBe('instance_not_found');
      expect(await registry.heartbeat([{ instanceId: 'a' }])).toMatchObject([{ status: 404 }]);
    });

    test('discovery chooses by type, group, status and labels, in the order of type, group, id', async () => {
      await register({ instanceId: 'c', group: 'us-1', labels: { zone: 'x' } });
      await register({ instanceId: 'b', status: 'error' });
      await register({ instanceId: 'a', labels: { zone: 'x' } });
      await register({ instanceId: 'd', type: 'chat' });
      expect(await idsOf({ limit: 10 })).toEqual(['d', 'a', 'b', 'c']);
      expect(await idsOf({ type: 'game', group: 'kr-1', limit: 10 })).toEqual(['a', 'b']);
      expect(await idsOf({ statuses: ['error'], limit: 10 })).toEqual(['b']);
      expect(await idsOf({ labels: { zone: 'x' }, limit: 10 })).toEqual(['a', 'c']);
      expect(await idsOf({ type: 'none', limit: 10 })).toEqual([]);
    });

    test('pages follow one another without a gap', async () => {
      for (const instanceId of ['a', 'b', 'c']) await register({ instanceId });
      const first = await registry.discover({ type: 'game', limit: 2 }, { strong: true });
      expect(first.instances.map(({ instanceId }) => instanceId)).toEqual(['a', 'b']);
      const { instances, next } = await registry.discover({ type: 'game', limit: 2, after: first.next ?? '' });
      expect([instances.map(({ instanceId }) => instanceId), next]).toEqual([['c'], undefined]);
    });

    test('the tag of an answer is that of its content: a heartbeat leaves it, a change does not', async () => {
      const { revision } = await register({ instanceId: 'a' });
      const tagOf = async (minRevision: string) => (await registry.discover({ type: 'game', limit: 10 }, { minRevision })).etag;
      const tag = await tagOf(revision);
      await registry.heartbeat([{ instanceId: 'a', performance: { cpu: 0.9 } }]);
      expect((await registry.discover({ type: 'game', limit: 10 }, { strong: true })).etag).toBe(tag);
      expect(await tagOf((await registry.patch('a', { status: 'error' }, CALLER)).revision)).not.toBe(tag);
    });

    test('a revision that this registry never gave is refused', async () => {
      expect(await code(registry.find('a', { minRevision: 'no-revision' }))).toBe('invalid_request');
      expect(await code(registry.discover({ limit: 1 }, { minRevision: 'no-revision' }))).toBe('invalid_request');
    });

    test('groups are counted, and none of them is held', async () => {
      await register({ instanceId: 'a' });
      await register({ instanceId: 'b', status: 'error' });
      await register({ instanceId: 'c', group: 'us-1' });
      const { groups } = await registry.groups({ strong: true });
      expect(groups).toMatchObject([
        { type: 'game', group: 'kr-1', instances: 2, statuses: { ready: 1, error: 1 }, suspects: 0 },
        { type: 'game', group: 'us-1', instances: 1 },
      ]);
      expect(groups.some(({ hold }) => hold)).toBe(false);
      expect(await registry.release({ type: 'game', group: 'kr-1' }, CALLER)).toBe(false);
    });

    test('the log tells what happened, latest first, or oldest first from a revision on', async () => {
      const { revision } = await register({ instanceId: 'a' });
      await registry.patch('a', { status: 'error' }, CALLER);
      await registry.remove('a', {}, CALLER);
      const latest = await registry.history({ limit: 2 });
      expect(latest.events.map(({ kind }) => kind)).toEqual(['removed', 'updated']);
      expect(latest.events[0]).toMatchObject({ cause: 'deregister', instance: { instanceId: 'a' } });
      expect(latest.next).toBeDefined();
      const [epoch = '', id = ''] = revision.split('.');
      const since = await registry.history({ limit: 10, after: { epoch, id } });
      expect([since.events.map(({ kind }) => kind), since.next, since.gap ?? false]).toEqual([['updated', 'removed'], undefined, false]);
      expect((await registry.history({ limit: 10, instanceId: 'nobody' })).events).toEqual([]);
      expect(revisionOf({ epoch, id })).toBe(revision);
    });

    test('a watch is a snapshot, then every change in order, until it is aborted', async () => {
      await register({ instanceId: 'a' });
      await registry.find('a', { strong: true });
      const watch = follow(registry, { type: 'game' });
      await until(() => watch.messages.length > 0);
      expect(watch.messages[0]).toMatchObject({ event: 'snapshot', data: { instances: [{ instanceId: 'a' }] } });
      await registry.patch('a', { status: 'error' }, CALLER);
      await register({ instanceId: 'x', type: 'chat' });
      await registry.remove('a', {}, CALLER);
      await until(() => watch.messages.at(-1)?.event === 'removed');
      expect(watch.messages.map(({ event }) => event)).toEqual(['snapshot', 'updated', 'removed']);
      watch.abort();
      await watch.ended;
    });

    test('a watch goes on from where another ended: nothing is missed and nothing told twice', async () => {
      const { revision } = await register({ instanceId: 'a' });
      await registry.patch('a', { status: 'error' }, CALLER);
      await registry.find('a', { strong: true });
      const watch = follow(registry, {}, revision);
      await register({ instanceId: 'b' });
      await until(() => watch.messages.at(-1)?.event === 'registered');
      expect(watch.messages.map(({ event }) => event)).toEqual(['updated', 'registered']);
    });

    test('a watch from a position that is none begins anew, and says so', async () => {
      await register({ instanceId: 'a' });
      await registry.find('a', { strong: true });
      const watch = follow(registry, {}, 'no-revision');
      await until(() => watch.messages.length === 2);
      expect(watch.messages).toMatchObject([{ event: 'reset' }, { event: 'snapshot', data: { instances: [{ instanceId: 'a' }] } }]);
    });
  });
}

/** Everything but bookmarks, which come when they like. */
function follow(registry: Registry, query: Parameters<Registry['watch']>[0], from?: string) {
  const aborted = new AbortController();
  const messages: WatchMessage[] = [];
  const ended = (async () => {
    for await (const message of registry.watch(query, from, aborted.signal)) if (message.event !== 'bookmark') messages.push(message);
  })();
  onTestFinished(async () => {
    aborted.abort();
    await ended;
  });
  return { messages, ended, abort: () => aborted.abort() };
}
