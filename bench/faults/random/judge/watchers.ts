import type { Entry, Frame, History } from '../history.js';
import type { Circumstances } from './circumstances.js';
import type { Violation } from './violation.js';

const TOLD = ['registered', 'updated', 'removed', 'expired', 'restored', 'held', 'released'];

/** Who registers again what Redis lost and the replicas know changes nothing, and is not told: what pictures hold in the end is judged then. */
const RESTORING_MS = 20_000;

/** What each watcher was told beside what the log says. */
export function watchViolations(history: History, { losses }: Circumstances): Violation[] {
  const entries = new Map(history.of('entry').map((entry) => [entry.entry, entry]));
  const ordered = [...entries.keys()];
  const frames = history.of('frame');
  const watchers = [...new Set(frames.map(({ watcher }) => watcher))];
  return watchers.flatMap((each) => judge(frames.filter(({ watcher }) => watcher === each), entries, ordered)).filter(({ rule, at }) => rule !== 'watch-missed' || !losses.some(({ from, to }) => at >= from && at <= to + RESTORING_MS));
}

const partsOf = (revision: string): [string, string] => [revision.slice(0, revision.indexOf('.')), revision.slice(revision.indexOf('.') + 1)];

function isBefore(one: string, other: string): boolean {
  const [a, b] = [one.split('-'), other.split('-')];
  return Number(a[0]) !== Number(b[0]) ? Number(a[0]) < Number(b[0]) : BigInt(a[1] ?? 0) < BigInt(b[1] ?? 0);
}

/** From one snapshot or one epoch to the next: what was told must be what the log has between the first and the last. */
interface Stretch {
  epoch: string;
  /** Read up to here before the first. */
  from: string;
  last: string;
  told: Map<string, Frame>;
}

function judge(frames: Frame[], entries: Map<string, Entry>, ordered: string[]): Violation[] {
  const found: Violation[] = [];
  let stretch: Stretch | undefined;
  const end = () => {
    if (stretch) found.push(...missed(stretch, frames[0] as Frame, entries, ordered));
    stretch = undefined;
  };
  for (const frame of frames) {
    if (frame.event === 'snapshot' || frame.event === 'reset') end();
    if (frame.revision === undefined) continue;
    const [epoch, id] = partsOf(frame.revision);
    if (stretch?.epoch !== epoch) end();
    if (!stretch) {
      stretch = { epoch, from: id, last: id, told: new Map([[id, frame]]) };
      continue;
    }
    const about = { at: frame.at, ...(frame.id !== undefined && { id: frame.id }) };
    const text = `watcher ${frame.watcher} at replica ${frame.replica}: ${frame.event} ${frame.id ?? ''} ${frame.revision}`;
    if (TOLD.includes(frame.event)) {
      const before = stretch.told.get(id);
      if (before && TOLD.includes(before.event) && before.event === frame.event) found.push({ rule: 'watch-doubled', ...about, text: `${text}, told before by replica ${before.replica}` });
      else if (!before && isBefore(id, stretch.last)) found.push({ rule: 'watch-order', ...about, text: `${text}, after ${stretch.last}` });
      stretch.told.set(id, frame);
    }
    if (!isBefore(id, stretch.last)) stretch.last = id;
  }
  end();
  return found;
}

function missed({ epoch, from, last, told }: Stretch, { watcher, group }: Frame, entries: Map<string, Entry>, ordered: string[]): Violation[] {
  return ordered.flatMap((id): Violation[] => {
    if (told.has(id) || !isBefore(from, id) || isBefore(last, id)) return [];
    const { kind, cause, id: about, at, ...entry } = entries.get(id) as Entry;
    if (entry.epoch !== epoch) return [];
    const watched = group === '' || entry.group === group || entry.fromGroup === group;
    if (!watched || !TOLD.includes(kind) || kind === 'restored' || cause === 'recovery' || cause === 'replay') return [];
    const after = [...told.values()].find((frame) => isBefore(id, partsOf(frame.revision as string)[1]));
    return [{ rule: 'watch-missed', at: after?.at ?? at, id: about, text: `watcher ${watcher} of ${group || 'all'} was not told ${kind} (${cause}) of ${about}, ${id}, and told ${after?.event} ${after?.revision} by replica ${after?.replica}` }];
  });
}
