import { describe, test, type TestContext } from 'vitest';
import { Scripts } from '../../src/redis/scripts/scripts.js';
import { expiredIds, registerGhosts, startFleet, type Member } from '../helpers/fleet.js';
import { Trap } from '../helpers/redis-gate.js';
import type { Replica } from '../helpers/replicas.js';
import { jobEvents, QUEUE_STEM } from '../helpers/sweep-jobs.js';
import { until } from '../helpers/until.js';

const GHOSTS = 100;
const RESUMES_WITHIN_MS = 15_000;
const SLOW = { timeout: 60_000 };

/** Three replicas and a crowd of ghosts; the replica that sweeps them gets the signal in the middle of its job, its call not yet in Redis. */
async function strikeTheSweeper(signal: NodeJS.Signals, { onTestFinished }: TestContext) {
  const fleet = await startFleet();
  onTestFinished(fleet.stop);
  const ids = await registerGhosts(fleet, GHOSTS, 'ghost', 2);
  const [sweepScript] = new Scripts(fleet.keys, { eventsMax: 1, plainLua: false }).command('sweep', [], 'sha');
  const { sweeper, release } = await new Promise<{ sweeper: Replica; release: () => Promise<void> }>((resolve) => {
    const strike = new Trap(sweepScript, (gate, release) => {
      const sweeper = (fleet.members.find((member) => member.gate === gate) as Member).replica;
      sweeper.signal(signal);
      resolve({ sweeper, release });
    });
    for (const { gate } of fleet.members) gate.arm(strike);
  });
  const [job = 'none'] = await fleet.raw.lrange(`${QUEUE_STEM}:active`, 0, -1);
  return { fleet, ids, sweeper, release, job };
}

// Mostly waiting for a lock to end, so side by side.
describe.concurrent('the sweeping worker is lost', () => {
  test('a worker killed in the middle of its sweep loses nothing: every ghost expires exactly once, and its job is run again', SLOW, async (context) => {
    const { expect } = context;
    const { fleet, ids, job } = await strikeTheSweeper('SIGKILL', context);

    await until(async () => (await expiredIds(fleet)).length >= GHOSTS, RESUMES_WITHIN_MS);
    await until(async () => (await jobEvents(fleet.raw)).completed.includes(job), RESUMES_WITHIN_MS);
    expect((await jobEvents(fleet.raw)).stalled).toContain(job);
    expect(await expiredIds(fleet)).toEqual(ids);
  });

  test('a worker stopped past its lock and woken again does nothing twice', SLOW, async (context) => {
    const { expect } = context;
    const { fleet, ids, sweeper, release, job } = await strikeTheSweeper('SIGSTOP', context);

    await until(async () => (await jobEvents(fleet.raw)).completed.includes(job), RESUMES_WITHIN_MS); // by another, after its lock
    expect(await expiredIds(fleet)).toEqual(ids);
    await release(); // its call reaches Redis after all
    sweeper.signal('SIGCONT');

    const { completed } = await jobEvents(fleet.raw);
    await until(async () => (await jobEvents(fleet.raw)).completed.length > completed.length + 2);
    await until(() => fetch(`${sweeper.url}/readyz`).then(({ status }) => status === 200));
    expect(await expiredIds(fleet)).toEqual(ids);
    expect(sweeper.log.filter((line) => line.includes('evicted'))).toEqual([]);
  });
});
