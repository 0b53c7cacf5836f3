import { setImmediate as turn } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { Answers } from '../../src/registry/table/answers.js';
import { Body, listParts } from '../../src/registry/table/body.js';
import type { Discovery } from '../../src/registry/queries.js';
import { LOOKED_AT_A_TURN, Slices } from '../../src/registry/table/slices.js';
import { Table } from '../../src/registry/table/table.js';
import { change, EPOCH, idAt, record, T0 } from './sample.js';

const HEAD_BYTES = 2000;

/** Counts how often a record is looked at: once when it is taken into a page, and once when its JSON is made. */
function fleet(count: number, perGroup = count) {
  const table = new Table({ epoch: EPOCH, id: '' }, 100_000);
  const counted = { looks: 0 };
  for (let i = 0; i < count; i++) {
    const one = record({ instanceId: `i-${10_000 + i}`, type: 'game', group: `g-${Math.floor(i / perGroup)}`, ttlSeconds: 3600, systemInfo: { text: 'x'.repeat(HEAD_BYTES) } });
    table.apply(change(idAt(T0, i + 1), 'registered', one));
  }
  table.advance(T0, 0);
  for (const { record: one } of table.members.values()) {
    const { head } = one;
    Object.defineProperty(one, 'head', { get: () => (counted.looks++, head) });
  }
  return { table, counted, answers: new Answers(table) };
}

async function mostLooksATurn(counted: { looks: number }, work: Promise<unknown>): Promise<number> {
  let [most, over] = [0, false];
  const done = work.finally(() => (over = true));
  for (let turns = 0; !over; turns++) {
    expect(turns).toBeLessThan(5000);
    counted.looks = 0;
    await turn();
    most = Math.max(most, counted.looks);
  }
  await done;
  return most;
}

const written = async (answers: Answers, query: Discovery) => Buffer.concat(await (await answers.ask(query, performance.now())).write()).toString();

/** As many as fit into a share by their bytes, twice: what is left of a turn and the next; and what is made in one go. */
const MADE_A_TURN = 2 * (LOOKED_AT_A_TURN / (HEAD_BYTES / 128)) + 128;

test('however many pages end together, a turn makes no more than its share of their bytes', async () => {
  const { answers, counted } = fleet(2000, 100);
  const asked = Promise.all(Array.from({ length: 20 }, (_, i) => written(answers, { limit: 2000 - i })));
  const most = await mostLooksATurn(counted, asked);
  expect(most).toBeLessThan(2 * LOOKED_AT_A_TURN); // looks of the walks too
  expect(new Set(await asked).size).toBe(20);
  const [one] = await asked;
  expect(one).toBe(answers.answer({ limit: 2000 }, performance.now()).body.toString());
});

test('a large group is made in slices, and once however many ask for it', async () => {
  const { answers, counted } = fleet(3000);
  const asked = Promise.all(Array.from({ length: 20 }, () => written(answers, { type: 'game', group: 'g-0', limit: 10_000 })));
  expect(counted.looks).toBeLessThan(MADE_A_TURN);
  expect(await mostLooksATurn(counted, asked)).toBeLessThan(MADE_A_TURN);
  const { instances } = JSON.parse((await asked)[0] as string) as { instances: unknown[] };
  expect(instances).toHaveLength(3000);
  counted.looks = 0;
  await written(answers, { type: 'game', group: 'g-0', limit: 10_000 });
  expect(counted.looks).toBe(0);
});

test('any long list is made in slices, once for all who ask, and a short one at once', async () => {
  const counted = { looks: 0 };
  const item = () => (counted.looks++, JSON.stringify('x'.repeat(HEAD_BYTES)));
  const body = new Body(() => listParts('[', Array(3000).fill(0), item, ']'), 3000 * HEAD_BYTES, new Slices());
  const asked = Promise.all(Array.from({ length: 20 }, async () => Buffer.concat(await body.write())));
  expect(counted.looks).toBeLessThan(MADE_A_TURN);
  expect(await mostLooksATurn(counted, asked)).toBeLessThan(MADE_A_TURN);
  expect(JSON.parse((await asked)[0]?.toString() ?? '')).toHaveLength(3000);
  const short = new Body(() => listParts('[', [1, 2], String, ']'), 10, new Slices()).write();
  expect(Array.isArray(short) && Buffer.concat(short).toString()).toBe('[1,2]');
  expect(new Body(() => listParts('[', [], String, ']')).body.toString()).toBe('[]');
});

test.each<[string, Discovery]>([
  ['a page', { limit: 2500 }],
  ['a large group', { type: 'game', group: 'g-0', limit: 10_000 }],
])('%s that is made later is what stood when it was asked for', async (_, query) => {
  const { table, answers } = fleet(3000);
  const before = new Answers(table).answer(query, performance.now()).body.toString();
  const other = new Answers(table);
  for (const group of table.groups) group.answer = undefined;
  for (const { run } of table.members.values()) if (run) Object.assign(run, { version: run.version + 1, bytes: undefined }); // as if never made
  const answer = await other.ask(query, performance.now());
  const making = answer.write();
  expect(making).toBeInstanceOf(Promise);
  const ids = [...table.members.keys()];
  table.apply(change(idAt(T0, 90_000), 'removed', table.members.get(ids[0] as string)?.record ?? record()));
  table.apply(change(idAt(T0, 90_001), 'registered', record({ instanceId: 'i-1', type: 'game', group: 'g-0', ttlSeconds: 3600 })));
  for (const id of ids.slice(2000)) Object.assign(table.members.get(id) ?? {}, { standing: 'suspect' });
  expect(Buffer.concat(await making).toString()).toBe(before);
  for (const id of ids.slice(2000)) Object.assign(table.members.get(id) ?? {}, { standing: 'live' });
  table.advance(T0, 0);
  const after = JSON.parse(await written(answers, { ...query, limit: 10_000 })) as { instances: { instanceId: string }[] };
  expect(after.instances.map(({ instanceId }) => instanceId)).toEqual([...table.members.keys()].sort());
});
