import { pino } from 'pino';
import { expect, test } from 'vitest';
import { Standing } from '../../src/redis/connect/standing.js';

/** A clock that the test moves, and the lines that were written. */
function stand() {
  let now = 0;
  const lines: Record<string, unknown>[] = [];
  const log = pino({ base: null, timestamp: false }, { write: (line: string) => void lines.push(JSON.parse(line) as Record<string, unknown>) });
  const standing = new Standing('redis.example.com:6379', log, () => now);
  /** Looks four times a second, as the process does, for so long. */
  const pass = (ms: number, staleMs: number | undefined, each: () => void) => {
    for (const end = now + ms; now < end; now += 250) {
      each();
      standing.look(staleMs);
    }
  };
  const told = () => lines.splice(0).map(({ msg, was, seconds, redis }) => ({ msg: String(msg).split(':')[0], was, seconds, redis }));
  const holdUp = (ms: number) => (now += ms);
  return { standing, pass, told, lines, holdUp };
}
const redis = 'redis.example.com:6379';

test('a store that is fresh from the start is no news', () => {
  const { standing, pass, told } = stand();
  pass(60_000, undefined, () => standing.answered());
  expect(told()).toEqual([]);
});

test('away is one line with the reason, and back is one with how long it was', () => {
  const { standing, pass, told, lines } = stand();
  pass(1000, undefined, () => standing.answered());
  pass(30_000, 1500, () => standing.lost(new Error('connect ECONNREFUSED')));
  expect(lines.find(({ msg }) => String(msg).startsWith('redis is away'))).toMatchObject({ err: { message: 'connect ECONNREFUSED' } });
  expect(told().filter(({ msg }) => msg === 'redis is away')).toHaveLength(1);
  pass(1000, undefined, () => standing.answered());
  expect(told()).toEqual([{ msg: 'redis is back', was: 'away', seconds: 30, redis }]);
});

test('a read-only store is one line for as long as it is one', () => {
  const { standing, pass, told } = stand();
  pass(1000, undefined, () => standing.answered());
  pass(60_000, 1500, () => standing.readOnly(new Error('READONLY You can\'t write against a read only replica.')));
  expect(told().map(({ msg }) => msg)).toEqual(['redis is read-only']);
  pass(1000, undefined, () => standing.answered());
  expect(told()).toEqual([{ msg: 'redis is back', was: 'read-only', seconds: 62, redis }]);
});

test('a store that comes and goes every second is told of at most every ten seconds', () => {
  const { standing, pass, told } = stand();
  for (let i = 0; i < 20; i++) {
    pass(3000, 1500, () => undefined);
    pass(1000, undefined, () => standing.answered());
  }
  expect(told().length).toBeLessThanOrEqual(2 * 8); // 80 s: one pair each ten
});

test('an outage that begins soon after the last one has its pair of lines too, once ten seconds have passed', () => {
  const { standing, pass, told } = stand();
  const answered = () => standing.answered();
  pass(1000, undefined, answered);
  pass(3000, 1500, () => undefined);
  pass(1000, undefined, answered);
  expect(told().map(({ msg }) => msg)).toEqual(['redis is away', 'redis is back']);
  pass(60_000, 1500, () => undefined);
  pass(1000, undefined, answered);
  expect(told().map(({ msg, seconds }) => [msg, seconds])).toEqual([['redis is away', undefined], ['redis is back', 60]]);
});

test('the reason is that of this outage, and the better one: that it was closed says nothing', () => {
  const { standing, pass, lines } = stand();
  const closed = new Error('closed by the other side');
  pass(1000, undefined, () => standing.answered());
  standing.lost(new Error('read ECONNRESET'));
  pass(1000, undefined, () => standing.answered());
  pass(5000, 1500, () => undefined);
  expect(lines.splice(0)).toMatchObject([{ err: { message: 'no reply' } }]);
  pass(10_000, undefined, () => standing.answered());
  lines.splice(0);
  pass(5000, 1500, () => {
    standing.lost(new Error('connect ECONNREFUSED'));
    standing.closed(closed);
  });
  expect(lines).toMatchObject([{ err: { message: 'connect ECONNREFUSED' } }]);
});

test('an outage is one pair of lines, however old the view still is at its end', () => {
  const { standing, pass, told } = stand();
  pass(1000, undefined, () => standing.answered());
  pass(30_000, 3500, () => undefined);
  pass(1000, 31_000, () => standing.answered());
  pass(1000, undefined, () => standing.answered());
  expect(told().map(({ msg, was }) => [msg, was])).toEqual([['redis is away', undefined], ['redis is back', 'away']]);
});

test('a process that was held up says so, and not that redis is away', () => {
  const { standing, pass, told, holdUp } = stand();
  pass(1000, undefined, () => standing.answered());
  holdUp(10_000);
  standing.look(11_000);
  pass(1000, undefined, () => standing.answered());
  expect(told()).toEqual([{ msg: 'this process was held up', was: undefined, seconds: 10, redis: undefined }]);
});
