import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Group, type Member } from '../../src/registry/table/group.js';
import { instanceJson } from '../../src/registry/log/record.js';
import { record, T0 } from './sample.js';

const newGroup = () => new Group('game', 'kr-1');

function member(group: Group, instanceId: string): Member {
  const of = record({ instanceId, status: instanceId.endsWith('0') ? 'error' : 'ready', cordoned: instanceId.endsWith('5') });
  return { record: of, group, performance: undefined, renewedAtMs: T0, expiresAtMs: of.expiresAtMs, changedBy: '', of: '', scoreMs: of.expiresAtMs, standing: 'live', run: undefined, step: -1 };
}

const textOf = (group: Group, now: number) => `[${Buffer.concat(group.parts(now).map((make) => make())).toString()}]`;
const plain = (members: Iterable<Member>) => `[${[...members].map((one) => instanceJson(one.record, one)).join(',')}]`;
const inOrder = (members: Iterable<Member>) => [...members].sort((a, b) => (a.record.instanceId < b.record.instanceId ? -1 : 1));
/** Pieces without the commas between them. */
const runsOf = (group: Group, now: number) => group.parts(now).map((make) => make()).filter((_, i) => i % 2 === 0);

function expectWhole(group: Group, shown: Iterable<Member>) {
  const sorted = inOrder(shown);
  expect([...group.members()]).toEqual(sorted);
  expect(textOf(group, 0)).toBe(plain(sorted));
  const cordoned = sorted.filter((one) => one.record.cordoned).length;
  const error = sorted.filter((one) => one.record.status === 'error').length;
  expect(group.count(0)).toMatchObject({ type: 'game', group: 'kr-1', instances: sorted.length, cordoned, statuses: { initializing: 0, ready: sorted.length - error, shutting_down: 0, error }, suspects: 0 });
}

test.each([1, 2, 3])('thousands come and go in random order, and the members stay in order, their bytes the JSON of each (%i)', (seed) => {
  const group = newGroup();
  const shown = new Map<string, Member>();
  const random = fc.sample(fc.nat(2999), { numRuns: 9000, seed });
  random.forEach((number, i) => {
    const id = `i-${number}`;
    const known = shown.get(id);
    if (known) {
      group.hide(known);
      shown.delete(id);
    } else {
      const next = member(group, id);
      group.show(next);
      shown.set(id, next);
    }
    if (i % 500 === 0) expectWhole(group, shown.values());
  });
  expectWhole(group, shown.values());
  const afters = fc.sample(fc.nat(3000), { numRuns: 50, seed }).map((number) => `i-${number}`);
  for (const after of [...afters, 'a', 'z']) expect([...group.members(after)]).toEqual(inOrder(shown.values()).filter((one) => one.record.instanceId > after));
  for (const one of shown.values()) group.hide(one);
  expectWhole(group, []);
  expect([group.empty, group.tags.etag]).toEqual([true, newGroup().tags.etag]);
});

const full = (count: number) => {
  const group = newGroup();
  const members = Array.from({ length: count }, (_, i) => member(group, `i-${String(i).padStart(5, '0')}`));
  members.forEach((one) => group.show(one));
  return { group, members };
};

test('hiding twice, or one that was never shown, changes nothing', () => {
  const { group, members } = full(3);
  const [first] = members as [Member];
  group.hide(first);
  group.hide(first);
  group.hide(member(group, 'i-00001'));
  expectWhole(group, members.slice(1));
});

test('a change makes only the bytes of its run anew: the others are the very same buffers', () => {
  const { group, members } = full(10_000);
  const before = runsOf(group, 0);
  expect(before.length).toBeGreaterThan(10_000 / 128 - 1);
  expect(runsOf(group, 0).every((bytes, i) => bytes === before[i])).toBe(true);
  group.hide(members[5000] as Member);
  const after = runsOf(group, 0);
  expect(after.filter((bytes) => !before.includes(bytes))).toHaveLength(1);
  group.show(members[5000] as Member);
  expect(runsOf(group, 0).filter((bytes) => !before.includes(bytes)).length).toBeLessThanOrEqual(2); // two, if the run was full
});

test('what heartbeats changed shows within two seconds, and is not written anew more often than once in one', () => {
  const { group, members } = full(300);
  const one = members[10] as Member;
  let [now, encodings] = [0, 0];
  let known = runsOf(group, now);
  const saidAt: number[] = []; // the performance says when it was sent
  for (let beat = 0; now < 10_000; now += 50) {
    if (now % 100 === 0) {
      one.performance = `{"sent":${(beat = now)}}`;
      group.renew(one);
    }
    const runs = runsOf(group, now);
    encodings += runs.filter((bytes) => !known.includes(bytes)).length;
    known = runs;
    const shown = /"sent":(\d+)/.exec(textOf(group, now))?.[1];
    if (shown !== undefined) saidAt.push(beat - Number(shown));
    else expect(now).toBeLessThan(2000);
  }
  expect(Math.max(...saidAt)).toBeLessThan(2000);
  expect(encodings).toBeLessThanOrEqual(11);
  expect(encodings).toBeGreaterThanOrEqual(8);
});

test('a heartbeat wakes only its own run, and after it was written the group needs nothing more', () => {
  const { group, members } = full(1000);
  const before = runsOf(group, 0);
  group.renew(members[500] as Member);
  expect(group.renewed).toBe(true);
  expect(runsOf(group, 1000).filter((bytes) => !before.includes(bytes))).toHaveLength(1);
  expect(group.renewed).toBe(false);
});

test('of a group of 10,000 a change writes a run or two anew, and the rest is as it was', () => {
  const { group, members } = full(10_000);
  let before = new Set(runsOf(group, 0));
  for (let i = 0; i < 20; i++) {
    group.hide(members[i * 97] as Member);
    group.show(members[i * 97] as Member);
    const after = runsOf(group, 0);
    expect(after.filter((bytes) => !before.has(bytes)).length).toBeLessThanOrEqual(2);
    before = new Set(after);
  }
});
