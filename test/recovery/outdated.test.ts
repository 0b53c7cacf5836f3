import { expect, test } from 'vitest';
import { CALLER, complete, readStore } from '../helpers/store.js';
import { until } from '../helpers/until.js';
import { msOfId, parseRevision } from '../../src/registry/revision.js';
import { empty } from './helpers/loss.js';
import { expectSettled, openBare, openReplica } from './helpers/replica.js';

/** What a replica that stood still has yet to read when the others have restored an emptied Redis without it. */
test('a replica that reads everything anew says nothing again that was removed meanwhile, however it was acknowledged', { timeout: 30_000 }, async () => {
  const bare = await openBare();
  const { raw, keys } = bare;
  await raw.set(keys.alive, Date.now());
  const quick = await openReplica(bare);
  await raw.hset(keys.epoch, 'at', Date.now() - 60_000);
  const stopped = await openReplica(bare, { ownStore: false });
  await until(() => stopped.view.loaded);

  stopped.gate.halt();
  const early = await stopped.registry.register(complete({ instanceId: 'early' }), CALLER);
  await stopped.registry.register(complete({ instanceId: 'late' }), CALLER);
  await stopped.registry.register(complete({ instanceId: 'stays' }), CALLER);
  await quick.registry.remove('early', {}, CALLER); // gone for so long that no replica tells it again
  const since = msOfId(parseRevision(early.revision)?.id ?? '');
  await until(() => quick.view.table.watermarkMs > since + 3500);
  await quick.registry.remove('late', {}, CALLER);
  await stopped.registry.register(complete({ instanceId: 'fresh' }), CALLER); // so recent that the stopped one may say it again
  await quick.registry.remove('fresh', {}, CALLER);
  await until(() => quick.view.pending.size === 0); // it has read what it removed: the number of members was one before `fresh` was read, too
  expect(quick.view.table.members.size).toBe(1);
  await empty(raw, keys);
  await until(() => quick.seen.recoveries === 1);

  stopped.gate.cut();
  stopped.gate.mend();
  await until(() => stopped.seen.loads.includes('outdated'), 10_000);
  await until(() => stopped.view.pending.size === 0, 5000); // what is still pending is said within 2 s
  await expectSettled(raw, keys, [quick, stopped]);
  const { events } = await readStore(raw, keys);
  expect(events.map(({ kind, instanceId }) => `${kind} ${instanceId}`).sort()).toEqual(['removed fresh', 'removed late', 'restored stays']);
});
