import type { Entry, History } from '../history.js';
import type { Circumstances } from './circumstances.js';
import type { IdModel } from './model.js';
import type { Violation } from './violation.js';

const START_MS = 15_000;
/** One sweep a second, and what a busy machine takes. */
const SWEPT_MS = 2000;
/** After a fault the queue may take its time, and replicas sweep by themselves only after twelve seconds. */
const CALM_MS = 30_000;

/** What the log of Redis says, and its epochs and graces. */
export function logViolations(history: History, models: Map<string, IdModel>, around: Circumstances): Violation[] {
  const entries = history.of('entry');
  return [...entries.flatMap((entry) => judge(entry, models, around)), ...toldTwice(entries, around), ...sights(history, around)];
}

/** By the clock of Redis, unless that was set. */
export const timeOf = ({ entry, at }: Entry) => (Math.abs(Number(entry.split('-')[0]) - at) < 2000 ? Number(entry.split('-')[0]) : at);

function judge(entry: Entry, models: Map<string, IdModel>, around: Circumstances): Violation[] {
  const { kind, cause, id, inc } = entry;
  const at = timeOf(entry);
  const model = models.get(id);
  const say = (rule: Violation['rule'], what: string): Violation[] => [{ rule, at, id, text: `${kind} (${cause}) of ${id} as ${inc}: ${what}` }];
  if (!model || [at, entry.at].some((time) => around.near(around.skews, time, 0, 15_000))) return []; // ids stand still while the clock is set back
  if (kind === 'expired') {
    const states = model.states(at, at);
    if (states?.every((state) => state?.inc === inc) && model.inForce(inc, at, at)) return say('false-expired', 'its lease is in force');
    const lateMs = at - Date.parse(entry.deadline ?? '');
    const troubled = around.faults.some(({ kind, from, to }) => kind !== 'clock' && from <= at && to >= at - CALM_MS);
    if (lateMs > SWEPT_MS && !troubled && around.startedAt < at - CALM_MS && !around.wasHeld(entry.group, at)) return say('late', `${lateMs} ms after the end of its lease`);
  }
  // Its end was lost, and is told again: where Redis lost it before we read the log, a watcher was told.
  const hadExpired = model.entries.some((each) => each.kind === 'expired' && each.inc === inc && each.at <= entry.at) || around.wasToldExpired(id, inc, entry.at);
  const ended = cause === 'replay' && hadExpired;
  if (kind === 'removed' && cause !== 'moved' && !ended && !model.ops.some((op) => op.verb === 'remove' && op.inc === inc && op.from <= at + 50)) return say('false-removed', 'nobody asked for that');
  return [];
}

function toldTwice(entries: Entry[], around: Circumstances): Violation[] {
  const gone = new Map<string, Entry>();
  return entries.flatMap((entry): Violation[] => {
    const { kind, cause, id, inc, replaces } = entry;
    if (replaces) gone.set(`${id} ${replaces}`, entry);
    if (kind === 'registered' || kind === 'restored' || kind === 'updated') gone.delete(`${id} ${inc}`);
    if ((kind !== 'removed' && kind !== 'expired') || cause === 'moved') return [];
    const before = gone.get(`${id} ${inc}`);
    gone.set(`${id} ${inc}`, entry);
    if (!before || around.losses.some(({ from, to }) => from <= entry.at && to + 10_000 >= before.at)) return [];
    return [{ rule: 'told-twice', at: timeOf(entry), id, text: `${kind} (${cause}) of ${id} as ${inc}, which was ${before.kind} (${before.cause}) ${timeOf(entry) - timeOf(before)} ms before` }];
  });
}

function sights(history: History, around: Circumstances): Violation[] {
  const startedAt = history.of('run')[0]?.at ?? 0;
  const long = around.outages.filter(({ from, to }) => to - from > 2500);
  const starved = (at: number) => history.of('pause').some((pause) => pause.ms > 1000 && Math.abs(pause.at - at) < 10_000);
  const wellSome = (at: number) => [0, 1, 2].some((replica) => around.wasWell(replica, at - 6000, at));
  return (['epoch', 'grace'] as const).flatMap((rule) =>
    history.of(rule).flatMap(({ at, value }): Violation[] => {
      const excused = [...around.losses, ...(rule === 'grace' ? [...long, ...around.skews] : [])];
      if (at < startedAt + START_MS || around.near(excused, at, 0, 15_000) || (rule === 'grace' && (!wellSome(at) || starved(at)))) return [];
      return [{ rule, at, text: `another ${rule}, ${String(value)}, and no reason for it` }];
    }),
  );
}
