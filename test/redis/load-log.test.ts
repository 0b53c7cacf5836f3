import { pino } from 'pino';
import { expect, test } from 'vitest';
import { LoadLog, type LoadReason } from '../../src/redis/load/load-log.js';

function openLog() {
  const lines: { msg: string; changes?: number; reason?: string; proof?: string }[] = [];
  const loaded: string[] = [];
  const log = pino({}, { write: (line) => void lines.push(JSON.parse(line) as (typeof lines)[number]) });
  return { lines, loaded, loads: new LoadLog(log, { loaded: (reason) => void loaded.push(reason) }) };
}

test('a reading of the registry whose log was cut off before it was read says what mends that', () => {
  const { lines, loaded, loads } = openLog();
  loads.begin();
  loads.changes = 700;
  loads.again('lag');
  expect(lines).toMatchObject([{ level: 40, changes: 700, msg: 'more was changed while the registry was read than the log keeps: raise EVENTS_MAX' }]);
  loads.begin();
  loads.end(5);
  expect([loaded, loads.changes]).toEqual([['lag'], 0]);
});

test('only where nothing but the length of the log is amiss, what the view has is trusted', () => {
  const { loads } = openLog();
  const after = (...reasons: LoadReason[]) => {
    loads.end(5);
    return reasons.map((reason) => {
      loads.again(reason);
      loads.begin();
      return loads.trusted;
    });
  };
  expect(loads.trusted).toBe(false);
  expect(after('lag', 'lag', 'epoch', 'lag')).toEqual([true, true, false, false]);
  expect(after('diverged', 'lag')).toEqual([false, false]);
  expect(after('outdated')).toEqual([false]);
});

test('a log that was cut off, or is another, while the view was whole is not the fault of EVENTS_MAX', () => {
  const { lines, loads } = openLog();
  loads.begin();
  loads.end(5);
  loads.again('lag');
  loads.begin();
  loads.again('epoch');
  loads.begin();
  loads.end(5);
  loads.again('diverged', 'head');
  expect(lines.map(({ msg, reason, proof }) => [msg.slice(0, 34), reason, proof])).toEqual([
    ['registry read', 'start', undefined],
    ['the log of changes has a gap or is', 'lag', undefined],
    ['the log of changes has a gap or is', 'epoch', undefined],
    ['registry read', 'epoch', undefined],
    ['the log of changes has a gap or is', 'diverged', 'head'],
  ]);
});
