import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { text } from 'node:stream/consumers';
import { until } from '../../../test/helpers/until.js';
import { rssMb, TOKEN } from '../../rig.js';
import { keys, type Member } from '../bed.js';
import { idsIn } from '../http.js';
import { TYPE } from '../load.js';
import type { Field } from '../field.js';
import { underLoad } from '../rig.js';
import type { Fault } from '../scale.js';
import { events, percentile } from '../tools.js';

interface Herd {
  stem: string;
  count: number;
  perGroup: number;
  /** They are sent evenly over so long. */
  withinMs: number;
  ttlSeconds?: number;
  /** All leases end at about this moment, by Date.now(). */
  endsAt?: number;
}

interface Came {
  done: number;
  lost: number;
  refused: number;
  allMs: number;
  p99: number;
  codes: Record<string, number>;
}

/** Registers a crowd from a process of its own: this one measures. */
async function send({ bed }: Field, herd: Herd): Promise<Came> {
  const child = spawn(process.execPath, ['bench/faults/herd.mjs', JSON.stringify({ ...herd, urls: bed.members.map(({ url }) => url), token: TOKEN, type: TYPE })], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [said] = await Promise.all([text(child.stdout), once(child, 'exit')]);
  return JSON.parse(said) as Came;
}

const massExpiry: Fault = {
  name: 'mass-expiry',
  expectation: 'leases that end within one second: swept in small calls (99 % of them block Redis for 20 ms at most), one event for each',
  alone: true,
  run: (scale) =>
    underLoad(scale, { idle: true, env: { EVENTS_MAX: '1000000' } }, async (field) => {
      const { bed, numbers, require } = field;
      const count = scale.full ? 50_000 : 2000;
      const endsAt = Date.now() + (scale.full ? 45_000 : 6000);
      const came = await send(field, { stem: 'mass', count, perGroup: 4, withinMs: scale.full ? 10_000 : 500, endsAt });
      require(came.done === count, `${came.done} registered`);
      await sleep(Math.max(0, endsAt - Date.now() - 1500));
      numbers.registeredMs = came.allMs;
      await bed.raw.config('SET', 'slowlog-log-slower-than', '300');
      await bed.raw.config('SET', 'slowlog-max-len', '20000');
      await bed.raw.call('SLOWLOG', 'RESET');
      await until(async () => (await bed.raw.zcard(keys.leases)) === 0, 60_000, 200);
      numbers.sweptMs = Date.now() - endsAt;
      const calls = (await bed.raw.call('SLOWLOG', 'GET', '20000')) as [number, number, number, string[]][];
      // 32 words are all that it keeps of a call: of the scripts only the sweep is given more.
      const sweeps = calls.filter(([, , , words]) => /^evalsha$/i.test(words[0] ?? '') && words.length === 32).map(([, , micros]) => micros / 1000);
      const kinds = (await events(field)).filter(({ kind }) => kind === 'expired').map(({ instanceId }) => instanceId);
      const [p50, p99] = [percentile(sweeps, 0.5), percentile(sweeps, 0.99)];
      Object.assign(numbers, { leases: count, events: kinds.length, twice: kinds.length - new Set(kinds).size, sweeps: sweeps.length, callP50Ms: p50, callP99Ms: p99, longestCallMs: Math.round(Math.max(...sweeps)) });
      require(kinds.length === count && numbers.twice === 0, `${kinds.length} events for ${count} leases, ${numbers.twice} twice`);
      // The longest one tells more of a machine whose cores Redis shares with replicas and callers.
      require(p99 <= 20, `one in a hundred calls blocked Redis for ${p99} ms or more`);
    }),
};

const herd: Fault = {
  name: 'herd',
  expectation: '10,000 register again within 1 s, as after a restart of all of them: all back, heartbeats of the others stay quick (p99 500 ms)',
  alone: true,
  run: (scale) =>
    underLoad(scale, {}, async (field) => {
      const { bed, load, numbers, require } = field;
      const crowd = { stem: 'herd', count: scale.full ? 10_000 : 1000, perGroup: 100, ttlSeconds: 120 };
      await send(field, { ...crowd, withinMs: scale.full ? 8000 : 1000 });
      await sleep(1000);
      const since = Date.now();
      const came = await send(field, { ...crowd, withinMs: 1000 });
      const beats = load.took('heartbeat', since);
      Object.assign(numbers, { ...came, codes: JSON.stringify(came.codes), heartbeats: beats.length, heartbeatP50: percentile(beats, 0.5), heartbeatP99: percentile(beats, 0.99) });
      require(came.done === crowd.count && came.lost === 0, `${came.done} back, ${came.lost} failed for good`);
      require(numbers.heartbeatP99 as number <= 500, `heartbeat p99 ${numbers.heartbeatP99} ms`);
      // What follows looks at the others only.
      const leases = (await bed.raw.zrange(keys.leases, '0', '-1')).filter((member) => member.includes(':herd-'));
      require(leases.length === crowd.count, `Redis holds ${leases.length} of the herd`);
      await dismiss(field, leases);
    }),
};

/** Takes them out as their owners would. */
async function dismiss({ bed, load }: Field, members: string[]) {
  const ids = members.map((member) => member.slice(member.lastIndexOf(':') + 1));
  for (let from = 0; from < ids.length; from += 200) {
    await Promise.all(ids.slice(from, from + 200).map((id, n) => load.http.call((bed.members[n % bed.members.length] as Member).url, `/instances/${id}`, { method: 'DELETE' })));
  }
}

const hugeGroup: Fault = {
  name: 'huge-group',
  expectation: 'a group too big for one answer is paged at 10,000, a larger limit is 400, and memory stays bounded',
  alone: true,
  run: (scale) =>
    underLoad(scale, { idle: true }, async (field) => {
      const { bed, load, numbers, require } = field;
      const count = scale.full ? 30_000 : 3000;
      const limit = scale.full ? 10_000 : 1000;
      const before = Math.max(...bed.members.map(({ replica }) => rssMb(replica)));
      await send(field, { stem: 'huge', count, perGroup: count, withinMs: scale.full ? 10_000 : 1000, ttlSeconds: 600 });
      const [{ url }] = bed.members as [Member];
      const ids = new Set<string>();
      let after = '';
      do {
        const page = await load.http.call(url, `/instances?type=${TYPE}&group=huge-0&limit=${limit}${after && `&after=${after}`}`);
        for (const id of idsIn(page.text)) ids.add(id);
        after = (JSON.parse(page.text) as { next?: string }).next ?? '';
        numbers.longestPage = Math.max(Number(numbers.longestPage ?? 0), idsIn(page.text).size);
      } while (after);
      const tooMany = await load.http.call(url, `/instances?type=${TYPE}&group=huge-0&limit=1000000`);
      await Promise.all(Array.from({ length: 20 }, (_, n) => load.http.call((bed.members[n % 3] as Member).url, `/instances?type=${TYPE}&group=huge-0`, { timeoutMs: 20_000 })));
      Object.assign(numbers, { instances: count, listed: ids.size, tooMany: tooMany.status, rssBeforeMb: Math.round(before), rssMb: Math.round(Math.max(...bed.members.map(({ replica }) => rssMb(replica)))) });
      require(ids.size === count && numbers.longestPage === limit, `${ids.size} listed, at most ${numbers.longestPage} a page`);
      require(tooMany.status === 400, `a limit of a million: ${tooMany.status}`);
      require((numbers.rssMb as number) < 600, `${numbers.rssMb} MB`);
    }),
};

export const crowds: Fault[] = [massExpiry, herd, hugeGroup];
