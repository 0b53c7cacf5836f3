import { Cluster, Redis } from 'ioredis';
import { expect, onTestFinished, test } from 'vitest';
import { createConnection } from '../../src/redis/connect/connection.js';
import { startJobs } from '../../src/jobs/jobs.js';
import { jobsPrefix, makeKeys } from '../../src/redis/scripts/keys.js';
import { parseRedisUrl } from '../../src/redis/connect/url.js';
import { silent } from '../helpers/gateway.js';
import { freePort } from '../helpers/ports.js';
import { startRedis } from '../helpers/redis.js';
import { exercise, openSmoke } from '../helpers/smoke.js';
import { until } from '../helpers/until.js';

/** A Cluster of one node that holds every slot. */
async function startCluster() {
  const bus = String(await freePort());
  const redis = await startRedis(['--cluster-enabled', 'yes', '--cluster-port', bus, '--cluster-announce-ip', '127.0.0.1']);
  onTestFinished(() => redis.stop());
  const raw = new Redis(redis.url);
  onTestFinished(() => raw.disconnect());
  await raw.call('CLUSTER', 'ADDSLOTSRANGE', '0', '16383');
  await until(async () => String(await raw.call('CLUSTER', 'INFO')).includes('cluster_state:ok'));
  return { raw, url: `redis+cluster://127.0.0.1:${redis.port}` };
}

test('every verb works on a Cluster, and so do jobs', async () => {
  const { raw, url } = await startCluster();
  const prefix = '{service}:';
  const smoke = await openSmoke({ target: parseRedisUrl(url) }, prefix);
  expect(smoke.store.connection).toBeInstanceOf(Cluster);
  await exercise(smoke, raw);

  let ticks = 0;
  const jobs = startJobs({
    tickedAgoMs: () => undefined,
    connection: createConnection('jobs', { target: parseRedisUrl(url) }, silent),
    prefix: jobsPrefix(prefix),
    everyMs: 200,
    tick: () => Promise.resolve(ticks++),
    log: silent,
  });
  onTestFinished(() => jobs.close());
  await until(() => ticks >= 2);
});

test('with a hash tag in the prefix all keys share one slot', async () => {
  const { raw } = await startCluster();
  for (const prefix of ['{service}:', 'prod{a.b-c}:']) {
    const keys = makeKeys(prefix);
    const names = [...keys.forScripts, keys.reconcile, keys.face('a'), keys.record('b'), keys.members('game:kr-1')];
    const slots = await Promise.all(names.map((name) => raw.call('CLUSTER', 'KEYSLOT', name)));
    expect(new Set(slots).size).toBe(1);
    const jobs = ['sweep:wait', 'sweep:1', 'sweep:repeat:x'].map((name) => raw.call('CLUSTER', 'KEYSLOT', `${jobsPrefix(prefix)}:${name}`));
    expect(new Set(await Promise.all(jobs)).size).toBe(1);
  }
});
