import { afterAll, beforeAll, expect, test } from 'vitest';
import { expiredIds, registerGhosts, startFleet, type Fleet } from '../helpers/fleet.js';
import { jobEvents, QUEUE_STEM } from '../helpers/sweep-jobs.js';
import { until } from '../helpers/until.js';

const RESUMES_WITHIN_MS = 15_000;
const GHOSTS = 20;
let fleet: Fleet;

beforeAll(async () => {
  fleet = await startFleet();
});
afterAll(() => fleet.stop());

test('with all keys of the queue deleted the sweep starts again by itself, and ghosts expire exactly once', { timeout: 30_000 }, async () => {
  await until(async () => (await jobEvents(fleet.raw)).completed.length > 0);
  const ids = await registerGhosts(fleet, GHOSTS, 'before');
  const queue = await fleet.raw.keys(`${QUEUE_STEM}*`);
  expect(queue.length).toBeGreaterThan(3);
  await fleet.raw.del(queue);

  await until(async () => (await expiredIds(fleet)).length >= GHOSTS, RESUMES_WITHIN_MS);
  await until(async () => (await jobEvents(fleet.raw)).completed.length > 1, RESUMES_WITHIN_MS);
  expect(await expiredIds(fleet)).toEqual(ids);
});

test('with Redis restarted empty the scheduler comes back by itself, and replicas say the loss once', { timeout: 30_000 }, async () => {
  const before = fleet.members.map(({ replica }) => replica.log.length);
  await fleet.redis.kill();
  const redisIs = (i: number, status: number) => async () => (await fleet.call(i).get('//readyz?require=redis')).status === status;
  await until(redisIs(0, 503));
  await fleet.redis.restart();
  await until(async () => (await fleet.raw.ping()) === 'PONG');

  await Promise.all(fleet.members.map((_, i) => until(redisIs(i, 200), RESUMES_WITHIN_MS)));
  const strong = (i: number) => async () => (await fleet.call(i).get('/groups?consistency=strong')).status === 200;
  await Promise.all(fleet.members.map((_, i) => until(strong(i), RESUMES_WITHIN_MS))); // each connection comes back by itself
  const ids = await registerGhosts(fleet, GHOSTS, 'after');
  await until(async () => (await expiredIds(fleet)).length >= GHOSTS, RESUMES_WITHIN_MS);
  expect(await expiredIds(fleet)).toEqual(ids);

  fleet.members.forEach(({ replica }, i) => {
    const lines = replica.log.slice(before[i]).filter((line) => !line.includes('"evicted"'));
    expect(lines.filter((line) => !line.startsWith('{'))).toEqual([]); // no warning, no stack outside the log
    expect(lines.filter((line) => line.includes('redis connection lost') && line.includes('"commands"'))).toHaveLength(1);
    expect(lines.filter((line) => line.includes('redis connection back') && line.includes('"commands"'))).toHaveLength(1);
    expect(lines.length, lines.join('\n')).toBeLessThan(30);
  });
});
