import { setTimeout as sleep } from 'node:timers/promises';
import { expect, onTestFinished, test } from 'vitest';
import { createConnection } from '../../src/redis/connect/connection.js';
import { makeKeys } from '../../src/redis/scripts/keys.js';
import { parseRedisUrl } from '../../src/redis/connect/url.js';
import { CLUSTER_PREFIX, startClusterFleet } from '../helpers/cluster-fleet.js';
import { silent } from '../helpers/gateway.js';
import { until } from '../helpers/until.js';

const ECHO = '#!lua\nreturn ARGV[1]';
const ROUNDS = 3;

test('when a primary of a Cluster dies, nobody is given the reply to what another asked', { timeout: 90_000 }, async () => {
  const fleet = await startClusterFleet({ replicas: 0 });
  onTestFinished(fleet.stop);
  const connection = createConnection('commands', { target: parseRedisUrl(fleet.url) }, silent);
  onTestFinished(() => connection.disconnect());
  await connection.connect();
  const key = makeKeys(CLUSTER_PREFIX).epoch;
  const mixed: string[] = [];
  let answered = 0;
  const ask = async (word: string) => {
    const replies = await connection.multi().eval(ECHO, 1, key, word).eval(ECHO, 1, key, `${word}-too`).exec();
    answered++;
    const said = JSON.stringify(replies);
    if (said !== JSON.stringify([[null, word], [null, `${word}-too`]])) mixed.push(`${word}: ${said}`);
  };
  let stopped = false;
  onTestFinished(() => void (stopped = true));
  const asking = (async () => {
    for (let n = 0; !stopped; n++) {
      for (let i = 0; i < 5; i++) ask(`${n}-${i}`).catch(() => undefined); // refused is all right
      await sleep(10);
    }
  })();

  for (let round = 0; round < ROUNDS; round++) {
    await sleep(1000);
    const primary = await until(fleet.primary);
    await fleet.kill(primary);
    await fleet.otherPrimary(primary);
    await sleep(1000);
    await fleet.restart(primary);
    await until(async () => (await primary.raw.info('replication')).includes('master_link_status:up'));
  }
  stopped = true;
  await asking;
  expect(answered).toBeGreaterThan(1000);
  expect(mixed).toEqual([]);
});
