import { expect, test } from 'vitest';
import { RegistryError } from '../../src/registry/errors.js';
import { homeKey } from '../../src/registry/home.js';
import { buildGateway, freshPrefix, openRegistry, registration } from '../helpers/gateway.js';
import { CALLER, complete, expectAgreement, expectChain, lapse, readStore } from '../helpers/store.js';

test('of 100 parallel registrations of one id one is new, the rest are not, and one record stands', async () => {
  const { call, raw, keys } = await buildGateway();
  const answers = await Promise.all(
    Array.from({ length: 100 }, (_, i) => call.post('/instances').send(registration({ instanceId: 'one', incarnation: `life-${i}` }))),
  );
  const statuses = answers.map(({ status }) => status).sort();
  expect(statuses).toEqual([...Array<number>(99).fill(200), 201]);

  const state = await readStore(raw, keys);
  expectAgreement(state);
  expectChain(state.events);
  expect([...state.records.keys()]).toEqual(['one']);
  expect(state.events).toHaveLength(100);
  expect(state.records.get('one')?.incarnation).toBe(state.events.at(-1)?.incarnation);
  state.events.slice(1).forEach(({ replaces }, i) => expect(replaces).toBe(state.events[i]?.incarnation));
});

test('of 100 parallel retries of one registration one is new and no other is a change', async () => {
  const { call, raw, keys } = await buildGateway();
  const retry = registration({ instanceId: 'one', incarnation: 'life-1', labels: { zone: 'a', tier: 'b/c' }, ports: [7777] });
  const answers = await Promise.all(Array.from({ length: 100 }, () => call.post('/instances').send(retry)));
  expect(answers.map(({ status }) => status).sort()).toEqual([...Array<number>(99).fill(200), 201]);
  expect(new Set(answers.map(({ body }) => body.revision as string)).size).toBe(1);
  expect((await readStore(raw, keys)).events).toHaveLength(1);
});

const ROUNDS = 1000;
const AT_ONCE = 25;
const allOrNone = (parts: unknown[]) => new Set(parts.map((part) => part !== null && part !== 0)).size === 1;
const refused = (error: unknown) => {
  if (error instanceof RegistryError && ['instance_not_found', 'stale_incarnation'].includes(error.code)) return undefined;
  throw error;
};

test('register, heartbeat, remove and sweep raced a thousand times leave no half record and revive nobody', { timeout: 60_000 }, async () => {
  const prefix = freshPrefix();
  const [one, other] = [await openRegistry({ prefix }), await openRegistry({ prefix })];
  const { raw, keys } = one;
  const homes = [{ type: 'game', group: 'kr-1' }, { type: 'game', group: 'us-1' }];
  let over = false;
  let looks = 0;
  const look = async (id: string) => {
    const multi = raw.multi().exists(keys.face(id)).exists(keys.record(id));
    for (const home of homes.map(homeKey)) multi.zscore(keys.leases, `${home}:${id}`).sismember(keys.members(home), id);
    const [face, record, ...places] = ((await multi.exec()) ?? []).map(([, reply]) => reply);
    const [firstLease, firstMember, secondLease, secondMember] = places;
    expect(allOrNone([firstLease, firstMember]) && allOrNone([secondLease, secondMember]), `${id} is in Set and ZSet or in neither`).toBe(true);
    expect(firstMember === 1 && secondMember === 1, `${id} is in one group`).toBe(false);
    expect(record, `${id} has a record where it has a lease`).toBe(firstMember === 1 || secondMember === 1 ? 1 : 0);
    if (face === 1) expect(record, `${id} has no face without a record`).toBe(1);
    looks++;
  };
  let current = 0;
  const watcher = (async () => {
    while (!over) await look(`id-${current}-${looks % AT_ONCE}`);
  })();

  const revived: string[] = [];
  for (; current < ROUNDS / AT_ONCE; current++) {
    const ids = Array.from({ length: AT_ONCE }, (_, i) => `id-${current}-${i}`);
    await Promise.all(ids.map((id) => one.registry.register(complete({ instanceId: id }), CALLER)));
    await lapse(raw, keys, ids.filter((_, i) => i % 5 === 0));
    const sweeps = [one.maintenance.sweep(), other.maintenance.sweep()];
    const races = ids.flatMap((id, i) => [
      other.registry.remove(id, { ...(i % 2 === 0 && { incarnation: 'life-1' }) }, CALLER).catch(refused),
      one.registry.heartbeat([{ instanceId: id }]),
      other.registry.heartbeat([{ instanceId: id, incarnation: 'life-1', status: 'error' }]),
      ...(i % 3 === 0 ? [one.registry.register(complete({ instanceId: id, incarnation: 'life-2', ...homes[i % 2] }), CALLER)] : []),
    ]);
    await Promise.all([...sweeps, ...races]);
    const late = await other.registry.heartbeat(ids.map((instanceId) => ({ instanceId })));
    const { events, records } = await readStore(raw, keys);
    ids.forEach((id, i) => {
      const last = events.filter(({ instanceId }) => instanceId === id).at(-1);
      const gone = last?.kind === 'removed' || last?.kind === 'expired';
      if (gone !== (late[i]?.status === 404) || gone === records.has(id)) revived.push(`${id}: ${last?.kind}, heartbeat ${late[i]?.status}`);
    });
  }
  over = true;
  await watcher;

  expect(revived).toEqual([]);
  expect(looks).toBeGreaterThan(ROUNDS / AT_ONCE);
  const state = await readStore(raw, keys);
  expectAgreement(state);
  expectChain(state.events);
  const present = new Set<string>();
  for (const { kind, instanceId = '' } of state.events) {
    if (kind === 'registered') present.add(instanceId);
    else expect(present.has(instanceId), `${instanceId} is there when it is ${kind}`).toBe(true);
    if (kind === 'removed' || kind === 'expired') present.delete(instanceId);
  }
});
