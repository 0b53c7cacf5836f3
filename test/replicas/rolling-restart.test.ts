import { expect, onTestFinished, test } from 'vitest';
import { startFleet } from '../helpers/fleet.js';
import { registration } from '../helpers/gateway.js';
import { startLoad } from '../helpers/steady-load.js';
import { until } from '../helpers/until.js';

/** `ROLLING_ROUNDS=10` for a longer run. */
const ROUNDS = Number(process.env.ROLLING_ROUNDS || 1);

test('a rolling restart behind HAProxy fails no request of callers that retry nothing', { timeout: ROUNDS * 60_000 }, async () => {
  const fleet = await startFleet();
  onTestFinished(fleet.stop);
  const balancer = await fleet.startBalancer();
  const ids = Array.from({ length: 20 }, (_, i) => `game-${i}`);
  for (const instanceId of ids) await fleet.call(0).post('/instances').send(registration({ instanceId })).expect(201);

  const load = startLoad(balancer.url, 'type=game&group=kr-1', ids);
  const exits: { code: number | null; ms: number }[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    for (const member of fleet.members) {
      member.replica.signal('SIGTERM');
      const { code, ms } = await member.replica.exit();
      exits.push({ code, ms });
      await member.start();
      await until(async () => (await balancer.up('strict')).length === fleet.members.length);
    }
  }
  const { heartbeats, discovers, failures } = await load.stop();

  const slowest = Math.round(Math.max(...exits.map(({ ms }) => ms)));
  console.log(`${exits.length} restarts: ${heartbeats} heartbeats and ${discovers} discovers, ${failures.length} failed; the slowest exit took ${slowest} ms`);
  if (failures.length > 0) console.log(balancer.log.slice(-40).join('\n'));
  expect(failures).toEqual([]);
  expect(exits.map(({ code }) => code)).toEqual(exits.map(() => 0));
  expect(Math.min(heartbeats, discovers)).toBeGreaterThan(100 * exits.length);
});
