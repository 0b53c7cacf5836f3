import { expect, test } from 'vitest';
import type { Instance } from '../../src/contract/index.js';
import { choose, STRATEGIES, type Strategy } from '../../src/client/catalog/pick.js';

const instance = (instanceId: string, more: Partial<Instance> = {}) => ({ instanceId, labels: {}, ...more }) as Instance;
const some = (count: number) => Array.from({ length: count }, (_, i) => instance(`i-${i}`));

/** How often each is chosen. */
function counts(from: Instance[], strategy: Strategy, picks = 10_000, key?: (turn: number) => string) {
  const said: Record<string, number> = Object.fromEntries(from.map(({ instanceId }) => [instanceId, 0]));
  for (let turn = 0; turn < picks; turn++) (said[choose(from, { strategy, loadField: 'load' }, { turn, key: key?.(turn), random: Math.random }).instanceId] as number)++;
  return said;
}

test('round robin takes each in turn', () => {
  expect(counts(some(4), 'round-robin', 400)).toEqual({ 'i-0': 100, 'i-1': 100, 'i-2': 100, 'i-3': 100 });
});

test('weights share the picks out, and nothing goes to a weight of 0', () => {
  const said = counts([instance('one'), instance('three', { labels: { weight: '3' } }), instance('none', { labels: { weight: '0' } }), instance('odd', { labels: { weight: 'heavy' } })], 'weighted');
  expect(said.none).toBe(0);
  for (const id of ['one', 'odd']) expect(said[id]).toBeGreaterThan(1700);
  expect(said.three).toBeGreaterThan(5500);
});

test('the least loaded is chosen; equals share, and who tells nothing comes last', () => {
  const loads = (load: number) => ({ performance: { load } });
  const said = counts([instance('busy', loads(0.9)), instance('idle', loads(0.1)), instance('idle-too', loads(0.1)), instance('silent')], 'least-load', 1000);
  expect([said.busy, said.silent]).toEqual([0, 0]);
  expect(said.idle).toBeGreaterThan(300);
  expect(said['idle-too']).toBeGreaterThan(300);
});

test('of two choices the less loaded is taken: the most loaded only against itself', () => {
  const from = Array.from({ length: 10 }, (_, i) => instance(`i-${i}`, { performance: { load: i } }));
  const said = counts(from, 'two-choices');
  expect(said['i-9']).toBeLessThan(200); // 1 in 100
  expect(said['i-0']).toBeGreaterThan(1600); // 19 in 100
});

test('a key stays with its instance while that is there, and all have their share', () => {
  const placeOf = (from: Instance[], key: string) => choose(from, { strategy: 'hash', loadField: 'load' }, { turn: 0, key, random: Math.random }).instanceId;
  const keys = Array.from({ length: 2000 }, (_, i) => `player-${i}`);
  const [ten, nine] = [some(10), some(10).filter(({ instanceId }) => instanceId !== 'i-4')];
  for (const key of keys) if (placeOf(ten, key) !== 'i-4') expect(placeOf(nine, key)).toBe(placeOf(ten, key));
  for (const count of Object.values(counts(ten, 'hash', 2000, (turn) => keys[turn] as string))) {
    expect(count).toBeGreaterThan(120);
    expect(count).toBeLessThan(290);
  }
});

test.each(STRATEGIES)('%s finds the only one there is', (strategy) => {
  expect(counts([instance('only', { labels: { weight: '0' } })], strategy, 5)).toEqual({ only: 5 });
});
