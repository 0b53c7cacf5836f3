import type { Answer, History, Shown } from '../history.js';
import { FRESH_MS, type Circumstances } from './circumstances.js';
import type { IdModel, State } from './model.js';
import type { Violation } from './violation.js';

/** Holds of each group, by the log. */
type Holds = Map<string, { from: number; to: number }[]>;

/** Each answer: who must be in it, and who must not. */
export function answerViolations(history: History, models: Map<string, IdModel>, around: Circumstances): Violation[] {
  const holds = holdsOf(history);
  return history.of('answer').flatMap((answer) => judge(answer, models, holds, around));
}

function judge(answer: Answer, models: Map<string, IdModel>, holds: Holds, around: Circumstances): Violation[] {
  if (answer.recovering) return [];
  const { sentAt, receivedAt, staleS, group } = answer;
  // Whole seconds are said, and staleness is said from one second on.
  const known = answer.strong ? sentAt : sentAt - FRESH_MS - (staleS === undefined ? 0 : (staleS + 1) * 1000);
  const found: Violation[] = [];
  const shown = new Map(answer.list.map((each) => [each[0], each]));
  const say = (rule: Violation['rule'], model: IdModel, what: string) =>
    found.push({ rule, at: receivedAt, id: model.id, text: `${model.id} ${what}: replica ${answer.replica}, group ${group}, asked ${receivedAt - sentAt} ms before${staleS === undefined ? '' : `, stale ${staleS}`}${answer.strong ? ', strong' : ''}, revision ${answer.revision}` });
  for (const model of models.values()) {
    const states = model.states(known, receivedAt);
    if (!states) continue;
    const listed = shown.get(model.id);
    if (!listed) {
      if (states.every((state) => state?.group === group && model.inForce(state.inc, known, receivedAt))) say('missing', model, 'is left out');
    } else judgeListed(listed, states.filter((state) => state !== undefined), model, { answer, holds, around, say });
  }
  return found;
}

interface Court {
  answer: Answer;
  holds: Holds;
  around: Circumstances;
  say: (rule: Violation['rule'], model: IdModel, what: string) => void;
}

function judgeListed([, inc, v, suspect]: Shown, states: State[], model: IdModel, { answer, holds, around, say }: Court) {
  const { group, sentAt, receivedAt, staleS } = answer;
  const same = states.filter((state) => state.inc === inc);
  if (same.length === 0) say('ghost', model, `is shown as ${inc}${states.length > 0 ? `, not ${states.map((each) => each.inc).join(' or ')}` : ', which has been removed'}`);
  else if (!same.some((state) => state.group === group)) say('old', model, `is in its old group ${group}, not ${same.map((each) => each.group).join(' or ')}`);
  else if (!same.some((state) => state.v === v)) say('old', model, `is shown with ${v}, not ${same.map((each) => each.v).join(' or ')}`);
  else if (staleS === undefined) {
    const end = model.latestEnd(inc, receivedAt);
    const held = Math.max(0, ...(holds.get(group) ?? []).filter(({ from }) => from <= sentAt).map(({ to }) => to));
    const until = (suspect ? Math.max(end, held) : end) + FRESH_MS;
    if (sentAt > until && !around.near(around.skews, sentAt, 0, 15_000)) say('ghost', model, `is shown${suspect ? ' as suspect' : ''} ${sentAt - until} ms after the latest end of its lease`);
  }
}

function holdsOf(history: History): Holds {
  const holds: Holds = new Map();
  for (const { kind, group, at, until } of history.of('entry')) {
    const all = holds.get(group) ?? [];
    holds.set(group, all);
    if (kind === 'held') all.push({ from: at, to: Date.parse(until ?? '') });
    else if (kind === 'released' && all.length > 0) (all.at(-1) as { to: number }).to = at;
  }
  return holds;
}
