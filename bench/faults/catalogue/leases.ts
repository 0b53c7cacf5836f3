import { setTimeout as sleep } from 'node:timers/promises';
import { openDelayGate } from '../../../test/guarantees/helpers/delay-gate.js';
import { keys, type Member } from '../bed.js';
import { idsIn, type Call } from '../http.js';
import { describe, TYPE } from '../load.js';
import type { Field } from '../field.js';
import { underLoad } from '../rig.js';
import type { Fault } from '../scale.js';
import { events, percentile, someOf } from '../tools.js';

const pick = <T>(items: readonly T[]): T => items[Math.floor(Math.random() * items.length)] as T;
const idle = { idle: true };

/** One call, and its status; 0 without an answer. */
const call = ({ load }: Field, { url }: Member, path: string, how: Call = {}) => load.http.call(url, path, how).then(({ status }) => status, () => 0);

const duplicate: Fault = {
  name: 'duplicate-register',
  expectation: '100 registrations of one id and incarnation at once over all replicas: one 201, 99 times 200, one event',
  run: (scale) =>
    underLoad(scale, idle, async (field) => {
      const { bed, numbers, require } = field;
      const body = { ...describe({ id: 'twin', group: 'one' }), incarnation: 'life-1' };
      const statuses = await Promise.all(Array.from({ length: 100 }, (_, n) => call(field, bed.members[n % 3] as Member, '/instances', { method: 'POST', body })));
      const count = (status: number) => statuses.filter((each) => each === status).length;
      Object.assign(numbers, { created: count(201), repeated: count(200), events: (await events(field)).filter(({ kind }) => kind === 'registered').length });
      require(numbers.created === 1 && numbers.repeated === 99, `answers: ${[...new Set(statuses)].join()}`);
      require(numbers.events === 1, `${numbers.events} events`);
    }),
};

const moves: Fault = {
  name: 'other-group',
  expectation: 'the same id registered under another group moves there: nothing of it stays in the old one',
  run: (scale) =>
    underLoad(scale, idle, async (field) => {
      const { bed, load, numbers, require } = field;
      let orphans = 0;
      const rounds = scale.full ? 200 : 30;
      for (let n = 0; n < rounds; n++) {
        const group = n % 2 === 0 ? 'a' : 'b';
        const status = await call(field, pick(bed.members), '/instances', { method: 'POST', body: { ...describe({ id: 'mover', group }), incarnation: `life-${n}` } });
        require(status === (n === 0 ? 201 : 200), `move ${n}: ${status}`);
        const [inA, inB, leases] = await Promise.all([bed.raw.sismember(keys.members(`${TYPE}:a`), 'mover'), bed.raw.sismember(keys.members(`${TYPE}:b`), 'mover'), bed.raw.zcard(keys.leases)]);
        if (inA + inB !== 1 || leases !== 1) orphans++;
      }
      const listed = await Promise.all(['a', 'b'].map((group) => load.http.call((bed.members[0] as Member).url, `/instances?type=${TYPE}&group=${group}&consistency=strong`)));
      Object.assign(numbers, { rounds, orphans, listed: listed.reduce((sum, { text }) => sum + idsIn(text).size, 0) });
      require(orphans === 0 && numbers.listed === 1, `${orphans} orphans, listed ${numbers.listed} times`);
    }),
};

const lateHeartbeats: Fault = {
  name: 'delete-vs-late-heartbeat',
  expectation: 'removed through one replica, heartbeats through two others whose readers are 0 to 200 ms late: never revived',
  alone: true,
  run: (scale) => {
    let slow = false;
    const openWay = async (port: number) => {
      const gate = await openDelayGate(port);
      gate.delay(({ role, to }) => (slow && role === 'reader' && to === 'replica' ? Math.random() * 200 : 0));
      return gate;
    };
    return underLoad(scale, { idle: true, openWay }, async (field) => {
      const { bed, numbers, require } = field;
      slow = true;
      const rounds = scale.full ? 5000 : 200;
      const [answers, revived]: [Record<string, number>, string[]] = [{}, []];
      let next = 0;
      const race = async () => {
        while (next < rounds) await oneRound(field, `racer-${next++}`, answers, revived);
      };
      await Promise.all(Array.from({ length: 40 }, race));
      await sleep(1500);
      slow = false;
      revived.push(...(await bed.raw.zrange(keys.leases, '0', '-1')), ...(await bed.raw.keys(keys.record('*'))));
      const back = (await events(field)).filter(({ kind }) => kind === 'restored').length;
      Object.assign(numbers, { rounds, revived: revived.length, restored: back, ...answers });
      require(revived.length === 0, `revived: ${revived.slice(0, 5).join()}`);
      require(!('late-0' in answers) && !('late-500' in answers), 'a late heartbeat was not answered as it should be');
    });
  },
};

async function oneRound(field: Field, id: string, answers: Record<string, number>, revived: string[]) {
  const [home, ...others] = [...field.bed.members].sort(() => Math.random() - 0.5) as [Member, Member, Member];
  const body = { ...describe({ id, group: 'race' }), incarnation: 'life-1', ttlSeconds: 60 };
  const registered = await call(field, home, '/instances', { method: 'POST', body });
  if (registered !== 201) return void (answers[`register-${registered}`] = (answers[`register-${registered}`] ?? 0) + 1);
  await sleep(Math.random() * 300);
  let removedAt = Infinity;
  const late = others.map(async (member) => {
    await sleep(Math.random() * 250);
    const sentAt = performance.now();
    const status = await call(field, member, `/instances/${id}/heartbeat`, { method: 'POST', body: { incarnation: 'life-1' } });
    if (sentAt < removedAt) return;
    answers[`late-${status}`] = (answers[`late-${status}`] ?? 0) + 1;
    if (status === 200) revived.push(`${id} renewed ${Math.round(sentAt - removedAt)} ms after its removal`);
  });
  const removed = await call(field, home, `/instances/${id}`, { method: 'DELETE' });
  removedAt = performance.now();
  if (removed !== 204) answers[`remove-${removed}`] = (answers[`remove-${removed}`] ?? 0) + 1;
  await Promise.all(late);
}

const diesSilently: Fault = {
  name: 'dies-silently',
  expectation: 'an instance that is killed leaves discovery at its deadline, and its event follows within about a second',
  run: (scale) =>
    underLoad(scale, {}, async (field) => {
      const { load, witness, numbers, require, ttlMs } = field;
      const doomed = someOf(field, 0.1);
      for (const life of doomed) {
        load.kill([life]);
        await sleep(2000 / doomed.length);
      }
      await sleep(ttlMs + 2000);
      const late = doomed.map((life) => (witness.lastShown.get(life.id) ?? 0) - life.renewedAt - ttlMs);
      const told = (await events(field)).filter(({ kind }) => kind === 'expired').map(({ id, deadline }) => Number(id?.split('-')[0]) - Date.parse(deadline as string));
      Object.assign(numbers, { killed: doomed.length, lateP50: percentile(late, 0.5), lateP99: percentile(late, 0.99), eventP50: percentile(told, 0.5), eventP99: percentile(told, 0.99) });
      require(told.length === doomed.length, `${told.length} events for ${doomed.length} deaths`);
      require(numbers.eventP99 as number <= 2500, `an event came ${numbers.eventP99} ms after its deadline`);
    }),
};

export const leases: Fault[] = [duplicate, moves, lateHeartbeats, diesSilently];
