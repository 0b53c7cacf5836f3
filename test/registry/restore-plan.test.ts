import { expect, test } from 'vitest';
import type { Change } from '../../src/registry/log/change.js';
import { patched, registered } from '../../src/registry/recovery/effects.js';
import { Pending } from '../../src/registry/recovery/pending.js';
import { keptMembers, planRestore, type Known } from '../../src/registry/recovery/plan.js';
import { Table } from '../../src/registry/table/table.js';
import { complete } from '../helpers/store.js';
import { change, EPOCH, idAt, record, T0 } from './sample.js';

const COMMON = idAt(T0 + 100);
const after = (ms: number) => idAt(T0 + 100 + ms);

/** A table that has read these changes. */
function tableOf(changes: Change[]): Table {
  const table = new Table({ epoch: EPOCH, id: '' }, 60_000);
  for (const each of changes) table.apply(each);
  return table;
}

/** What is planned, as `mode id of`, for a loss of everything behind COMMON. */
function planned(changes: Change[], more: Partial<Known> = {}) {
  const tail = changes.filter(({ id }) => id > COMMON);
  const known: Known = { table: tableOf(changes), pending: new Pending(), common: COMMON, tail, removedSinceMs: 0, missing: new Set(), left: [], ...more };
  return planRestore(known).map(({ mode, instanceId, of }) => `${mode} ${instanceId} ${of}`);
}

const register = (instanceId: string, id: string, more = {}) => change(id, 'registered', record({ instanceId, ...more }));
const remove = (instanceId: string, id: string) => change(id, 'removed', record({ instanceId }));

test('what changed behind the common entry is restored over what is there; what did not, only where its record is missing', () => {
  const changes = [register('kept', idAt(T0)), register('gone', idAt(T0 + 1)), register('old', idAt(T0 + 2)), register('old', after(1)), register('new', after(2))];
  expect(keptMembers(tableOf(changes), COMMON).map(({ record: { instanceId } }) => instanceId)).toEqual(['kept', 'gone']);
  expect(planned(changes, { missing: new Set(['gone', 'new']) })).toEqual([`missing gone ${idAt(T0 + 1)}`, `over old ${after(1)}`, `over new ${after(2)}`]);
});

test('a departure behind the common entry is told again, unless the instance came back', () => {
  const changes = [register('left', idAt(T0)), register('back', idAt(T0 + 1)), remove('left', after(1)), remove('back', after(2)), register('back', after(3))];
  expect(planned(changes)).toEqual([`over back ${after(3)}`, `remove left ${after(1)}`]);
});

test('after everything was lost only the latest departures are told: the older ones all replicas know', () => {
  const changes = [register('long', idAt(T0)), register('just', idAt(T0 + 1)), remove('long', after(1)), remove('just', after(5000))];
  expect(planned(changes, { removedSinceMs: T0 + 2000 })).toEqual([`remove just ${after(5000)}`]);
});

test('a pending write is restored as the instance that it makes, a removal as the instance that it takes away', () => {
  const pending = new Pending();
  pending.add('made', `${EPOCH}.${after(1)}`, '', registered(complete({ instanceId: 'made' }), `${EPOCH}.${after(1)}`));
  pending.add('known', `${EPOCH}.${after(2)}`, '', patched({ customState: 'later' }, `${EPOCH}.${after(2)}`));
  pending.add('left', `${EPOCH}.${after(3)}`, '', () => undefined);
  pending.add('nobody', `${EPOCH}.${after(4)}`, '', () => undefined);
  const changes = [register('known', idAt(T0)), register('left', idAt(T0 + 1))];
  expect(planned(changes, { pending })).toEqual([`over made ${after(1)}`, `over known ${after(2)}`, `remove left ${after(3)}`]);
  const entries = planRestore({ table: tableOf(changes), pending, common: COMMON, tail: [], removedSinceMs: 0, missing: new Set(), left: [] });
  expect(entries.map((entry) => entry.instance())).toMatchObject([{ instanceId: 'made', incarnation: 'life-1' }, { instanceId: 'known', customState: 'later' }, { instanceId: 'left' }]);
});

test('what was left from another loss comes before what is pending, which is newer', () => {
  const pending = new Pending();
  pending.add('a', `${EPOCH}.${after(9)}`, '', registered(complete(), `${EPOCH}.${after(9)}`));
  const left = [{ instanceId: 'a', of: after(1), mode: 'over' as const, instance: () => { throw new Error('not asked for'); } }];
  expect(planned([], { pending, left })).toEqual([`over a ${after(1)}`, `over a ${after(9)}`]);
});
