import { execFileSync } from 'node:child_process';
import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { Trap, type RedisGate } from '../../../test/helpers/redis-gate.js';
import { until } from '../../../test/helpers/until.js';
import { keys, type Member } from '../bed.js';
import { Http } from '../http.js';
import { newLife } from '../load.js';
import type { Field } from '../field.js';
import { underLoad } from '../rig.js';
import type { Fault } from '../scale.js';
import { events, someOf } from '../tools.js';

const gone = { gates: true };
const ready = (field: Field, { url }: Member) => until(async () => (await field.load.http.call(url, '//readyz?require=redis')).status === 200, 15_000);

const midRegister: Fault = {
  name: 'kill-mid-register',
  expectation: 'killed after Redis registered and before the caller was told: the repeat elsewhere is the same registration, told once',
  run: (scale) =>
    underLoad(scale, gone, async (field) => {
      const { bed, load, numbers, require, ttlMs } = field;
      let duplicates = 0;
      for (const [n, member] of bed.members.slice(0, scale.full ? 3 : 1).entries()) {
        const life = newLife(`cut-short-${n}`, load.groups[0] as string, ttlMs);
        const struck = new Promise<void>((resolve) => {
          const strike = async (_gate: RedisGate, release: () => Promise<void>) => {
            member.up = false;
            member.signal('SIGSTOP');
            await release();
            await member.kill();
            resolve();
          };
          member.gate.arm(new Trap(`${life.id}.example.com`, (gate, release) => void strike(gate, release)));
        });
        const [reply] = await Promise.all([load.register(life, bed.members.indexOf(member)), struck]);
        load.carry([life]);
        require(reply?.status === 200, `the repeat was answered ${reply?.status}`);
        duplicates += (await events(field)).filter(({ kind, instanceId }) => kind === 'registered' && instanceId === life.id).length - 1;
        await member.start();
        await sleep(1000);
      }
      numbers.duplicates = duplicates;
      require(duplicates === 0, `${duplicates} events too many or too few`);
    }),
};

const killOne: Fault = {
  name: 'kill-gateway',
  expectation: 'kill -9 of one replica: the others serve, nobody is dropped, watchers go on elsewhere and miss nothing',
  run: (scale) =>
    underLoad(scale, {}, async (field) => {
      const { bed, load, witness, numbers } = field;
      witness.gapMs = 0;
      const [first] = bed.members as [Member];
      await first.kill();
      load.kill(someOf(field, 0.04));
      await sleep(scale.full ? 5000 : 2000);
      await first.start();
      await sleep(1000);
      Object.assign(numbers, { gapMs: witness.gapMs, retried: witness.counts.retried });
    }),
};

const allDown: Fault = {
  name: 'all-replicas-down-60s',
  expectation: 'all replicas killed for twice the ttl, Redis up: after the start nobody is evicted before the first wave of heartbeats',
  run: (scale) =>
    underLoad(scale, { discoversMayFail: true, ...(scale.full && { ttlSeconds: 30 }) }, async (field) => {
      const { bed, load, outages, numbers } = field;
      outages.begin();
      await Promise.all(bed.members.map((member) => member.kill()));
      const ms = scale.full ? 60_000 : 7000;
      await sleep(ms / 2);
      load.kill(someOf(field, 0.04));
      await sleep(ms / 2);
      await outages.end(() => Promise.all(bed.members.map((member) => member.start())));
      numbers.downS = ms / 1000;
    }),
};

const rolling: Fault = {
  name: 'rolling-restart',
  expectation: 'replicas restarted one after the other: each ends with 0 within 10 s, no caller who retries fails, watchers miss nothing',
  run: (scale) =>
    underLoad(scale, {}, async (field) => {
      const { bed, load, numbers, require } = field;
      const exits: number[] = [];
      for (const member of bed.members) {
        member.up = false;
        member.signal('SIGTERM');
        const { code, ms } = await member.replica.exit();
        exits.push(Math.round(ms));
        require(code === 0, `it ended with ${code}`);
        await member.start();
        await sleep(500);
      }
      Object.assign(numbers, { slowestExitMs: Math.max(...exits), refused: load.counts.refused, unanswered: load.counts.unanswered });
      require(Math.max(...exits) <= 10_000, 'an exit took more than 10 s');
    }),
};

const blocked: Fault = {
  name: 'blocked-loop',
  expectation: 'a replica stopped for 3 s and going on: nobody is dropped by it, no departure is told twice',
  run: (scale) =>
    underLoad(scale, { ...(!scale.full && { ttlSeconds: 6 }) }, async (field) => {
      const { bed, load, numbers } = field;
      for (const member of bed.members.slice(0, scale.full ? 3 : 1)) {
        load.kill(someOf(field, 0.02));
        member.up = false;
        member.signal('SIGSTOP');
        await sleep(3000);
        member.signal('SIGCONT');
        const since = Date.now();
        await ready(field, member);
        numbers.backMs = Date.now() - since;
        member.up = true;
        await sleep(500);
      }
    }),
};

const fdLimit: Fault = {
  name: 'fd-limit',
  expectation: 'a replica that may open no more files: it goes on for whom it has, does not crash, and takes new callers again afterwards',
  run: (scale) =>
    underLoad(scale, {}, async (field) => {
      const { bed, load, numbers, require } = field;
      const [full] = bed.members as [Member];
      const held = new Http(1);
      const [life] = load.lives as [(typeof load.lives)[number]];
      const beat = () => held.call(full.url, `/instances/${life.id}/heartbeat`, { method: 'POST' }).then(({ status }) => status, () => 0);
      await beat();
      execFileSync('prlimit', ['--pid', String(full.replica.pid), '--nofile=256:256']);
      full.up = false; // new callers are turned away, and go elsewhere
      const sockets: Socket[] = Array.from({ length: 400 }, () => connect({ host: '127.0.0.1', port: full.replica.port }).on('error', () => undefined));
      const statuses: number[] = [];
      for (let n = 0; n < 20; n++) {
        statuses.push(await beat());
        await sleep(150);
      }
      for (const socket of sockets) socket.destroy();
      await ready(field, full);
      full.up = true;
      held.close();
      Object.assign(numbers, { beatsMeanwhile: statuses.length, failed: statuses.filter((status) => status !== 200).length });
      require(numbers.failed === 0, `heartbeats on an open socket: ${[...new Set(statuses)].join()}`);
    }),
};

const queueFlushed: Fault = {
  name: 'queue-flushed',
  expectation: "all keys of the sweep's queue deleted: the sweep comes back by itself",
  run: (scale) =>
    underLoad(scale, {}, async (field) => {
      const { bed, load, numbers, require } = field;
      load.kill(someOf(field, 0.04));
      const queue = await bed.raw.keys('{service}-jobs*');
      require(queue.length > 3, `only ${queue.length} keys of a queue`);
      const since = Date.now();
      await bed.raw.del(queue);
      await until(async () => Number(await bed.raw.get(keys.swept)) > since, 20_000);
      numbers.nextSweepMs = Date.now() - since;
    }),
};

export const gateways: Fault[] = [midRegister, killOne, allDown, rolling, blocked, fdLimit, queueFlushed];
