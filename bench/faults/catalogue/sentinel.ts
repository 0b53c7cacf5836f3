import { setTimeout as sleep } from 'node:timers/promises';
import { startSentinelFleet, type SentinelFleet } from '../../../test/helpers/sentinel-fleet.js';
import type { TestRedis } from '../../../test/helpers/redis.js';
import { pace, TOKEN } from '../../rig.js';
import type { Bed, Member } from '../bed.js';
import { newLife, type Life } from '../load.js';
import type { Field } from '../field.js';
import { underLoad } from '../rig.js';
import type { Fault } from '../scale.js';
import { events } from '../tools.js';

const RETRY_MS = 150;
const RESTORED_WITHIN_MS = 3000;

/** Replicas that find their Redis through Sentinels; `raw` is the connection to whoever is the primary. */
async function sentinelBed(): Promise<{ fleet: SentinelFleet; bed: Bed; follow: (primary: TestRedis) => void }> {
  const fleet = await startSentinelFleet({ env: { API_TOKENS: TOKEN, TRUST_PROXY: '127.0.0.0/8', LOG_LEVEL: 'info' } });
  let primary = fleet.nodes[0] as TestRedis;
  const members = fleet.members.map((replica) => ({ url: replica.url, replica, up: true, signal: replica.signal, kill: replica.kill }) as unknown as Member);
  const bed: Bed = {
    members,
    balancer: undefined,
    stop: fleet.stop,
    get redis() {
      return primary;
    },
    get raw() {
      return fleet.rawOf(primary);
    },
  };
  return { fleet, bed, follow: (now) => (primary = now) };
}

/** Registrations, patches and removals, each repeated until there is a definite answer, as owners do. */
function churn({ load, numbers }: Field, perSecond: number) {
  const standing: Life[] = [];
  const counts = { registered: 0, patched: 0, removed: 0, missing: 0 };
  const running = new Set<Promise<unknown>>();

  const insist = async (act: () => Promise<number>, wanted: number) => {
    for (let again = false; ; again = true) {
      const status = await act();
      if (status === wanted || (status === 404 && again)) return;
      if (status === 404) return void counts.missing++;
      await sleep(RETRY_MS);
    }
  };
  const once = async (n: number) => {
    const dice = Math.random();
    const life = dice < 0.4 ? standing.splice(Math.floor(Math.random() * standing.length), 1)[0] : undefined;
    if (!life) {
      const born = newLife(`churn-${n}`, load.groups[n % load.groups.length] as string, 120_000);
      await load.register(born);
      counts.registered++;
      standing.push(born);
    } else if (dice < 0.25) {
      await insist(() => load.patch(life, { turn: String(n) }), 200);
      counts.patched++;
      standing.push(life);
    } else {
      await insist(() => load.remove(life), 204);
      if (life.state !== 'removed') [life.state, life.goneAt] = ['removed', Date.now()];
      counts.removed++;
    }
  };
  const paced = pace(perSecond, (n) => {
    const run = once(n).finally(() => running.delete(run));
    running.add(run);
    return run;
  });
  return async () => {
    const { failed } = paced.stop();
    await Promise.allSettled(running);
    Object.assign(numbers, counts);
    return { ...counts, failed };
  };
}

/** Who is connected where, by the names that replicas give their connections. */
async function connections({ nodes, rawOf }: SentinelFleet): Promise<string> {
  const lists = nodes.map(async (node) => {
    const list = await rawOf(node).client('LIST').then(String, (error: Error) => error.message);
    return `${node.port}: ${Array.from(list.matchAll(/id=(\d+) addr=\S+:(\d+) .* name=(rollcall-\w+) age=(\d+) idle=(\d+)/g), (found) => found.slice(2).join('/')).join(' ')}`;
  });
  return (await Promise.all(lists)).join('; ');
}

function failover(name: string, expectation: string, strike: (fleet: SentinelFleet, primary: TestRedis) => Promise<unknown>): Fault {
  return {
    name,
    expectation,
    alone: true,
    run: async (scale) => {
      const { fleet, bed, follow } = await sentinelBed();
      return underLoad(scale, { makeBed: () => Promise.resolve(bed), ...(!scale.full && { ttlSeconds: 6 }) }, async (field) => {
        const { load, outages, witness, numbers, require } = field;
        const stop = churn(field, scale.full ? 400 : 100);
        await sleep(3000);
        const old = bed.redis;
        const since = Date.now();
        outages.begin();
        witness.seenWithinMs = RESTORED_WITHIN_MS;
        await strike(fleet, old);
        const primary = await fleet.otherPrimary(old);
        numbers.electedMs = Date.now() - since;
        follow(primary);
        await sleep(3000);
        await outages.end(() => undefined, false);
        await sleep(2000);
        const { missing, failed } = await stop();
        const acknowledged = load.written.filter(({ status }) => status < 300).map(({ at, ms }) => at + ms).filter((at) => at >= since - 100).sort((a, b) => a - b);
        numbers.writeGapMs = Math.max(...acknowledged.map((at, i) => at - (acknowledged[i - 1] ?? at)));
        numbers.restored = (await events(field)).filter(({ kind }) => kind === 'restored').length;
        for (const { url } of bed.members) {
          const { status } = await load.http.call(url, '//readyz?require=redis');
          require(status === 200, `${url} does not reach Redis 5 s after the failover: ${status}; its connections: ${await connections(fleet)}`);
        }
        require(missing === 0, `${missing} acknowledged registrations were unknown afterwards`);
        require(failed === 0, `${failed} writes broke off`);
      });
    },
  };
}

export const sentinel: Fault[] = [
  failover('sentinel-planned-failover', 'under 400 registrations, patches and removals a second: nothing acknowledged is missing afterwards, nobody is dropped or fenced', (fleet) => fleet.failOver()),
  failover('sentinel-primary-killed', 'the same with kill -9 of the primary', (_fleet, primary) => primary.kill()),
];
