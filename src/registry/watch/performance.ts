import type { Home } from '../home.js';
import type { Member } from '../table/group.js';
import type { Table } from '../table/table.js';
import type { Topic } from './topic.js';
import type { Frames } from './frames.js';

/** Instances in one frame of `performance`, and in one turn. */
const PERFORMANCE_FRAME = 250;

/** Tells whoever asked for it of the `performance` that changed since the last call: a frame a turn. */
export function tellPerformance({ performing }: Table, topicsOf: (home: Home) => Topic[], frames: Frames) {
  const byTopic = new Map<Topic, Member[]>();
  for (const member of performing) {
    if (member.standing === 'lapsed') continue;
    for (const topic of topicsOf(member.record)) {
      if (!topic.includes(member.record)) continue;
      const mine = byTopic.get(topic);
      if (mine) mine.push(member);
      else byTopic.set(topic, [member]);
    }
  }
  performing.clear();
  next([...byTopic], 0, frames);
}

function next(told: [Topic, Member[]][], from: number, frames: Frames) {
  const [topic, members] = told[0] ?? [];
  if (!topic || !members) return;
  const bytes = frames.performance(members.slice(from, from + PERFORMANCE_FRAME));
  for (const watcher of topic.watchers) watcher.offer(bytes);
  const more = from + PERFORMANCE_FRAME < members.length;
  if (!more) told.shift();
  setImmediate(next, told, more ? from + PERFORMANCE_FRAME : 0, frames);
}
