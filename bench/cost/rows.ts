import { setTimeout as sleep } from 'node:timers/promises';
import type { Attacker } from './attacker.js';

type Row = (attacker: Attacker) => Promise<unknown>;

const many = (count: number, act: (i: number) => Promise<unknown>) => Promise.all(Array.from({ length: count }, (_, i) => act(i)));
const asks = (count: number, path: (i: number) => string): Row => ({ get }) => many(count, (i) => get(path(i)));
const beats = (count: number, one: (i: number) => object) => JSON.stringify(Array.from({ length: count }, (_, i) => one(i)));
const batches = (count: number, one: (n: number) => string): Row => {
  const bodies = Array.from({ length: count }, (_, n) => one(n));
  return (attacker) => many(count, (n) => attacker.send('POST', '/heartbeats', bodies[n]));
};
const changes = (attacker: Attacker, count: number, text: string) => many(count, (i) => attacker.send('PATCH', `/instances/near-${i}`, JSON.stringify({ customState: `${text} ${i}` })));

const LABELS = Object.fromEntries(Array.from({ length: 32 }, (_, i) => [`label-${i}`, 'v'.repeat(256)]));
const wide = (i: number, text: string) => ({ instanceId: `wide-${i}`, incarnation: text, type: 'wide', group: 'many', hostname: 'wide.example.com', ttlSeconds: 600, labels: LABELS, systemInfo: { text: 'x'.repeat(8000) } });

/** What is sent, by the number of the defect that it was. */
export const ROWS: Record<string, Row> = {
  'D2 3 Prefer headers of 7,500 blanks': ({ get }) => many(3, () => get('/instances?limit=1', { prefer: `wait=${' '.repeat(7500)}"a"b"` })),
  'D3 3 bodies of 8,000 wrong ports': (attacker) => many(3, () => attacker.send('POST', '/instances', JSON.stringify({ type: 'a', hostname: 'a', ports: Array<string>(8000).fill('x') }))),
  'D3 3 batches of 30,000 wrong beats': batches(3, () => beats(30_000, () => ({ customState: 1 }))),
  'D3 4 batches of one object with 29,000 keys': batches(4, () => `[{${Array.from({ length: 29_000 }, (_, i) => `"k${i}":1`).join(',')}}]`),
  'D3 4 batches of 1 MB of nothing': batches(4, () => `[${'{},'.repeat(349_000)}{}]`),
  'D4 200 new watchers of everything': (attacker) => attacker.crowd('/sd/v1/watch', 200, 0, 6000),
  'D4 200 new watchers that never read': (attacker) => attacker.crowd('/sd/v1/watch', 200, 200, 4000),
  'D5 1,000 long polls by label, 40 changes': async (attacker) => {
    const polls = many(1000, (i) => attacker.get(`/instances?label.zone=z${i}`, { 'if-none-match': '*', prefer: 'wait=4' }));
    await sleep(1500);
    await changes(attacker, 40, 'd5');
    await polls;
  },
  '3,000 long polls of one group, 5 changes': async (attacker) => {
    const polls = many(3000, async (i) => {
      await sleep(i); // somebody who opens a thousand connections at once waits for himself
      return attacker.get('/instances?type=game&group=near-0', { 'if-none-match': '*', prefer: 'wait=6' });
    });
    await sleep(4000);
    await changes(attacker, 5, 'poll');
    await polls;
  },
  '3,000 watchers of one group, 100 changes': (attacker) => attacker.crowd('/sd/v1/watch?type=game&group=near-0', 3000, 0, 6000, () => changes(attacker, 100, 'crowd')),
  'D9 50 x events of nobody': asks(50, () => '/events?instanceId=nobody&limit=1'),
  'D9 50 watchers come back with a long gap': (attacker) => attacker.crowd('/sd/v1/watch?group=near-1', 50, 0, 4000, undefined, attacker.first),
  '200 x events, 1,000 a page': asks(200, () => '/events?limit=1000'),
  'D10 10 batches of 1,000 beats of one id, each another state': batches(10, () => beats(1000, (i) => ({ instanceId: 'near-3', customState: i % 2 ? 'a' : 'b' }))),
  '4 batches of 1,000 beats, each a change': batches(4, (n) => beats(1000, (i) => ({ instanceId: `near-${i}`, customState: `change ${n}` }))),
  'D18 50 x include=offline&limit=1': asks(50, (i) => `/instances?include=offline&limit=1&label.x=${i}`),
  'D19 100 pages of 10,000': asks(100, (i) => `/instances?limit=${10_000 - i}`),
  '60 pages of 10,000 that nobody reads': (attacker) => attacker.unread(60, (i) => `/instances?limit=${9800 - i}`, 5000),
  'D21 10 batches of 1,000 beats with performance': batches(10, () => beats(1000, (i) => ({ instanceId: `near-${i}`, performance: { text: 'x'.repeat(900) } }))),
  'S4.3 3 x a field name of 1 MB': batches(3, () => JSON.stringify([{ instanceId: 'near-1', ['x'.repeat(1_000_000)]: 1 }])),
  'S4.6 20 batches of 1,000 at once': batches(20, (n) => beats(1000, (i) => ({ instanceId: `near-${(n * 1000 + i) % 20_000}` }))),
  'S4.7 300 x the documents': asks(300, (i) => (i % 2 ? '//openapi.json' : '//docs/json')),
  'H4 100 bodies of 60,000 chunks of one byte': (attacker) => many(100, () => attacker.chunks(60_000)),
  '500 registrations as large as they may be': (attacker) => many(500, (i) => attacker.send('POST', '/instances', JSON.stringify(wide(i, 'one')))),
  'the same again, all duplicates': (attacker) => many(500, (i) => attacker.send('POST', '/instances', JSON.stringify(wide(i, 'one')))),
  '4 x healthCheck=true of a page of 8 MiB': asks(4, () => '/instances?type=wide&group=many&healthCheck=true'),
  '20 x a group of 8 MiB': asks(20, () => '/instances?type=wide&group=many'),
  '1,000 searches for a label of nobody': ({ get }) =>
    many(1000, async (i) => {
      await sleep(i / 4); // accepting a thousand connections at once would be the longest turn
      return get(`/instances?label.zone=none-${i}`);
    }),
  '200 pages behind the last': asks(200, (i) => `/instances?after=zzz:zzz:${i}&limit=10000`),
};

/** With 20,000 more, each in a group of its own. */
export const ROWS_OF_GROUPS: Record<string, Row> = {
  '100 x 20,200 groups': asks(100, () => '/groups'),
  '20 pages of 10,000 in as many groups': asks(20, (i) => `/instances?type=game&limit=${10_000 - i}`),
  '100 new watchers of 20,200 groups': (attacker) => attacker.crowd('/sd/v1/watch', 100, 0, 6000),
};
