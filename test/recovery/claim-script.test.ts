import { expect, test } from 'vitest';
import { registerArgs } from '../../src/redis/scripts/codec.js';
import { takePulse } from '../../src/redis/log/pulse.js';
import { complete, redisNow } from '../helpers/store.js';
import { openBare, type Bare } from './helpers/replica.js';

async function claim({ store }: Bare, known: string, watermarkMs: number, lost = false, latest = '') {
  const [epoch, at, freshest, now] = (await store.scripts.run(store.connection, 'claim', [known, watermarkMs, lost ? '1' : '', latest, 'replica'])) as [string, string, string, string];
  return { epoch, at: Number(at), freshest: Number(freshest), now: Number(now) };
}
const epochOf = async ({ store }: Bare) => (await takePulse(store.connection, store.scripts)).epoch;

test('of two who find changes missing under one epoch, the first founds the next and the second joins it', async () => {
  const bare = await openBare();
  const known = await epochOf(bare);
  const first = await claim(bare, known, 1000, true);
  expect(first.epoch).not.toBe(known);
  const second = await claim(bare, known, 3000, true);
  expect(second).toMatchObject({ epoch: first.epoch, at: first.at, freshest: 3000 });
});

test('the freshest is the greatest that was claimed, in any order', async () => {
  const bare = await openBare();
  const known = await epochOf(bare);
  const said = [];
  for (const watermark of [2000, 5000, 1000]) said.push((await claim(bare, known, watermark, true)).freshest);
  expect(said).toEqual([2000, 5000, 5000]);
});

test('what was claimed for one loss does not count for the next', async () => {
  const bare = await openBare();
  const { epoch } = await claim(bare, await epochOf(bare), 9_000_000, true);
  expect(await claim(bare, epoch, 1000, true)).toMatchObject({ freshest: 1000 });
});

test('who only sees another epoch founds none', async () => {
  const bare = await openBare();
  const stands = await epochOf(bare);
  expect(await claim(bare, 'before', 1000)).toMatchObject({ epoch: stands });
  expect(await claim(bare, 'before', 1000, true)).toMatchObject({ epoch: stands });
  expect(await claim(bare, stands, 1000)).toMatchObject({ epoch: stands });
});

test('a new epoch gives every lease a grace from then on', async () => {
  const bare = await openBare();
  const known = await epochOf(bare);
  await bare.raw.set(bare.keys.grace, 5);
  const before = await redisNow(bare.raw);
  await claim(bare, known, 1000, true);
  expect(Number(await bare.raw.get(bare.keys.grace))).toBeGreaterThanOrEqual(before);
});

test('the chain goes on across epochs: the next entry names the last of the epoch before', async () => {
  const bare = await openBare();
  const known = await epochOf(bare);
  const id = await bare.raw.xadd(bare.keys.events, '*', 'kind', 'registered', 'prev', '');
  await bare.raw.hset(bare.keys.epoch, 'head', id as string);
  await claim(bare, known, 1000, true);
  expect(await takePulse(bare.store.connection, bare.store.scripts)).toMatchObject({ head: id });
});

test('ids go on behind the latest entry that anybody claims to know, and the log still ends where it does', async () => {
  const bare = await openBare();
  const known = await epochOf(bare);
  for (const latest of ['99999999999999-7', '5-5', '']) await claim(bare, known, 1000, true, latest);
  expect(await takePulse(bare.store.connection, bare.store.scripts)).toMatchObject({ head: '' });
  for (const instanceId of ['a', 'b']) await bare.store.scripts.run(bare.store.connection, 'register', registerArgs(complete({ instanceId }), 'register', '*', 'test'));
  expect((await bare.raw.xrange(bare.keys.events, '-', '+')).map(([id]) => id)).toEqual(['99999999999999-8', '99999999999999-9']);
});
