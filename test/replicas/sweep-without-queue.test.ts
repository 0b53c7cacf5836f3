import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { expiredIds, registerGhosts, startFleet, type Fleet } from '../helpers/fleet.js';
import { until } from '../helpers/until.js';

let fleet: Fleet;

beforeAll(async () => {
  fleet = await startFleet({ size: 2 });
});
afterAll(() => fleet.stop());

const saysSilent = () => fleet.members.some(({ replica }) => replica.log.some((line) => line.includes('the queue is silent')));

test('while a full Redis refuses the queue, replicas sweep without it, and ghosts expire exactly once', { timeout: 60_000 }, async () => {
  const ids = await registerGhosts(fleet, 20, 'full');
  onTestFinished(async () => void (await fleet.raw.config('SET', 'maxmemory', '0')));
  await fleet.raw.config('SET', 'maxmemory', '1mb');
  await until(async () => (await expiredIds(fleet)).length >= 20, 30_000);
  await until(saysSilent, 30_000);
  expect(await expiredIds(fleet)).toEqual(ids);
});
