import { expect, test } from 'vitest';
import { registerArgs } from '../../src/redis/scripts/codec.js';
import { compareIds, parseRevision } from '../../src/registry/revision.js';
import { CALLER, complete } from '../helpers/store.js';
import { empty, takePicture, rollBack } from './helpers/loss.js';
import { expectSettled, openBare, openReplicas, type Replica } from './helpers/replica.js';

test('two primaries of a split mint no id twice, though both write in every millisecond', async () => {
  const { store, raw, keys } = await openBare();
  const write = async (stem: string) => {
    for (let i = 0; i < 300; i++) await store.scripts.run(store.connection, 'register', registerArgs(complete({ instanceId: `${stem}-${i}` }), 'register', '*', 'test'));
    return (await raw.xrange(keys.events, '-', '+')).map(([id]) => id);
  };
  await write('common');
  const picture = await takePicture(raw, keys);
  const common = (await raw.xrange(keys.events, '-', '+')).length;
  const one = (await write('one')).slice(common);
  await rollBack(raw, keys, picture);
  const other = (await write('other')).slice(common);
  // The two halves did not write at the same time: so what follows the millisecond has to differ by itself.
  const low = (ids: string[]) => ids.map((id) => id.split('-')[1] ?? '');
  const lows = new Set(low(one));
  expect(lows.size).toBeGreaterThan(290);
  expect(low(other).filter((seq) => lows.has(seq)).length).toBeLessThan(3);
});

test('after a loss under a clock that was set back, what is written is later than all that a replica knew', async () => {
  const { raw, keys, replicas } = await openReplicas(1);
  const [{ registry }] = replicas as [Replica];
  await registry.register(complete({ instanceId: 'a' }), CALLER);
  const ahead = `${Date.now() + 60_000}-5`;
  await raw.multi().xadd(keys.events, ahead, 'kind', 'of-a-later-version', 'prev', (await raw.hget(keys.epoch, 'head')) ?? '').hset(keys.epoch, 'head', ahead).exec();
  await registry.discover({ limit: 1 }, { strong: true });
  await empty(raw, keys);
  await expectSettled(raw, keys, replicas);
  const { revision } = await registry.patch('a', { customState: 'later' }, CALLER);
  expect(compareIds(parseRevision(revision)?.id ?? '', ahead)).toBe(1);
});
