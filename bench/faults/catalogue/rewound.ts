import { readdirSync, statSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Field } from '../field.js';
import { underLoad } from '../rig.js';
import type { Fault } from '../scale.js';
import { events, redisAnswers, registerAtOnce, restoredAfter, someOf } from '../tools.js';

const RESTORED_WITHIN_MS = 3000;

/** What Redis will not remember: a removal, a change and a registration of each kind. All of it was acknowledged. */
async function changeAll(field: Field) {
  const { load, require } = field;
  const removed = someOf(field, 0.05);
  const changed = someOf(field, 0.07).filter((life) => !removed.includes(life));
  const statuses = await Promise.all([...removed.map((life) => load.remove(life)), ...changed.map((life) => load.patch(life, { release: 'new' }))]);
  require(statuses.every((status) => status === 204 || status === 200), `changes before the fault: ${[...new Set(statuses)].join()}`);
  const { lives } = await registerAtOnce(field, 50, 'late');
  return { removed, changed, lives };
}

async function comeBack(field: Field, awayMs: number, meanwhile: () => unknown = () => undefined) {
  const { bed, outages, numbers, require } = field;
  outages.begin();
  await bed.redis.kill();
  await sleep(awayMs);
  await meanwhile();
  const since = await outages.end(() => bed.redis.restart());
  await redisAnswers(field);
  numbers.restoredMs = await restoredAfter(field, since);
  require(numbers.restoredMs >= 0 && numbers.restoredMs <= RESTORED_WITHIN_MS, `Redis holds everybody again after ${numbers.restoredMs} ms, not within ${RESTORED_WITHIN_MS}`);
}

const oldRdb: Fault = {
  name: 'old-rdb',
  expectation: 'a snapshot of some seconds ago is loaded: later registrations, changes and removals are replayed, nobody removed is shown again',
  run: (scale) =>
    underLoad(scale, {}, async (field) => {
      await field.bed.raw.save();
      await sleep(500);
      const { removed, changed, lives } = await changeAll(field);
      Object.assign(field.numbers, { removedSince: removed.length, changedSince: changed.length, registeredSince: lives.length });
      await sleep(1000);
      await comeBack(field, scale.full ? 4000 : 1000);
    }),
};

const lostTail: Fault = {
  name: 'aof-lost-tail',
  expectation: 'an append-only file without its last writes: what was acknowledged and is lost comes back from the replicas',
  run: (scale) =>
    underLoad(scale, { redisArgs: ['--appendonly', 'yes'] }, async (field) => {
      const sizeBefore = tail(await fileOf(field));
      const { removed, changed, lives } = await changeAll(field);
      Object.assign(field.numbers, { removedSince: removed.length, changedSince: changed.length, registeredSince: lives.length });
      const path = await fileOf(field);
      await comeBack(field, 1000, () => {
        field.numbers.bytesLost = tail(path) - sizeBefore;
        truncateSync(path, Math.max(1, sizeBefore));
      });
      field.numbers.restoredEvents = (await events(field)).filter(({ kind }) => kind === 'restored').length;
      field.require(Number(field.numbers.bytesLost) > 0 && field.numbers.restoredEvents > 0, 'nothing was lost');
    }),
};

/** The part of the append-only file that is written to. */
async function fileOf({ bed }: Field): Promise<string> {
  const [, dir = ''] = (await bed.raw.config('GET', 'dir')) as [string, string];
  const folder = join(dir, 'appendonlydir');
  return join(folder, readdirSync(folder).find((name) => name.endsWith('.incr.aof')) as string);
}

const tail = (path: string) => statSync(path).size;

export const rewound: Fault[] = [oldRdb, lostTail];
