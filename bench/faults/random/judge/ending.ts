import type { Ending, Shown } from '../history.js';
import type { Violation } from './violation.js';

type Same = Map<string, string>;

const ofShown = (list: Shown[]): Same => new Map(list.map(([id, inc, v, suspect]) => [id, `${inc} v${v}${suspect ? ' suspect' : ''}`]));

/** What differs in the end, if anything does. */
export function endingViolations({ at, replicas, redis, watchers, owners }: Ending): Violation[] {
  const wrong: string[] = [];
  const living: Same = new Map(owners.map(([id, inc, v]) => [id, `${inc} v${v}`]));
  const tags = new Set(replicas.map((each) => each.tags));
  if (tags.size > 1) wrong.push(`replicas answer with ${tags.size} different tags: ${replicas.map((each) => each.tags).join(' | ')}`);
  replicas.forEach(({ list }, n) => wrong.push(...difference(`replica ${n}`, ofShown(list), living)));
  wrong.push(...difference('Redis', new Map(redis.map(([id, , inc, v]) => [id, `${inc} v${v}`])), living));
  watchers.forEach(({ group, list }, n) => {
    const watched: Same = new Map(owners.filter(([, , , home]) => group === '' || home === group).map(([id, inc, v]) => [id, `${inc} v${v}`]));
    wrong.push(...difference(`watcher ${n} of ${group || 'all'}`, ofShown(list.map(([id, inc, v]) => [id, inc, v, 0])), watched));
  });
  return wrong.map((text) => ({ rule: 'end', at, text }));
}

function difference(name: string, found: Same, wanted: Same): string[] {
  const missing = [...wanted.keys()].filter((id) => !found.has(id));
  const extra = [...found.keys()].filter((id) => !wanted.has(id));
  const other = [...wanted].filter(([id, what]) => found.has(id) && found.get(id) !== what).map(([id, what]) => `${id} ${found.get(id)}, not ${what}`);
  const some = (ids: string[]) => `${ids.length} (${ids.slice(0, 4).join()})`;
  return missing.length + extra.length + other.length === 0 ? [] : [`${name}: missing ${some(missing)}, too many ${some(extra)}, other ${some(other)}`];
}
