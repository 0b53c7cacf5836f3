import { expect, test } from 'vitest';
import { restore } from '../../src/redis/recovery/restore.js';
import type { RestoreEntry } from '../../src/registry/recovery/restore-entry.js';
import { takePulse } from '../../src/redis/log/pulse.js';
import type { Instance } from '../../src/contract/index.js';
import { CALLER, complete, readStore } from '../helpers/store.js';
import { until } from '../helpers/until.js';
import { empty } from './helpers/loss.js';
import { expectSettled, openReplica, openReplicas, type Replica } from './helpers/replica.js';

const names = (count: number, stem = 'i') => Array.from({ length: count }, (_, i) => `${stem}-${i}`);
const registerAll = ({ registry }: Replica, ids: string[]) => Promise.all(ids.map((instanceId) => registry.register(complete({ instanceId }), CALLER)));
const caughtUp = (...replicas: Replica[]) => Promise.all(replicas.map(({ registry }) => registry.discover({ limit: 1 }, { strong: true })));

test('records that went missing in an outage that broke no chain are given back', async () => {
  const { replicas, raw, keys } = await openReplicas(2);
  const [a, b] = replicas as [Replica, Replica];
  await registerAll(a, names(5));
  await caughtUp(a, b);
  await raw.multi()
    .del(keys.record('i-1'), keys.face('i-1')).zrem(keys.leases, 'game:kr-1:i-1').srem(keys.members('game:kr-1'), 'i-1')
    .set(keys.alive, Date.now() - 60_000).exec();
  await expectSettled(raw, keys, [a, b]);
  expect([...(await readStore(raw, keys)).records.keys()].sort()).toEqual(names(5));
  expect([a.seen.loads, b.seen.loads]).toEqual([['start'], ['start']]);
});

const LONG_AGO = '2026-01-01T00:00:00.000Z';
const word = (of: string, customState: string): RestoreEntry => {
  const instance = { ...complete(), cordoned: false, labels: {}, customState, registeredAt: LONG_AGO, updatedAt: LONG_AGO, lastHeartbeat: LONG_AGO, expiresAt: LONG_AGO } as Instance;
  return { instanceId: 'a', of, mode: 'over', instance: () => instance };
};

test('a replica that loads between two words on one instance has the later, now and after another loss', async () => {
  const opened = await openReplicas(0);
  const { store, raw, keys } = opened;
  const { epoch } = await takePulse(store.connection, store.scripts);
  await restore(store, { epoch, id: '' }, [word('1000-0', 'earlier')]);
  const loaded = await openReplica(opened);
  await restore(store, { epoch, id: '' }, [word('2000-0', 'later')]);
  await until(() => loaded.view.find('a')?.instance.customState === 'later');
  const [second] = [await openReplica(opened)];
  await empty(raw, keys);
  await expectSettled(raw, keys, [loaded, second]);
  expect((await readStore(raw, keys)).records.get('a')).toMatchObject({ customState: 'later' });
});

test('who is given back by a heartbeat alone keeps what was known of it', async () => {
  const { replicas, raw, keys } = await openReplicas(1);
  const [a] = replicas as [Replica];
  await a.registry.register(complete({ instanceId: 'x', labels: { zone: 'b' }, ports: [{ port: 80, protocol: 'tcp' }] }), CALLER);
  await a.registry.patch('x', { cordoned: true }, CALLER);
  await caughtUp(a);
  await raw.multi().del(keys.record('x'), keys.face('x')).zrem(keys.leases, 'game:kr-1:x').srem(keys.members('game:kr-1'), 'x').exec();
  expect((await a.registry.heartbeat([{ instanceId: 'x', incarnation: 'life-1' }])).map(({ status }) => status)).toEqual([200]);
  expect((await readStore(raw, keys)).records.get('x')).toMatchObject({ labels: '{"zone":"b"}', cordoned: '1', incarnation: 'life-1' });
  await expectSettled(raw, keys, replicas);
});
