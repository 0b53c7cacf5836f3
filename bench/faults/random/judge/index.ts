import type { Happened, History } from '../history.js';
import { answerViolations } from './answers.js';
import { Circumstances } from './circumstances.js';
import { endingViolations } from './ending.js';
import { logViolations } from './log.js';
import { modelsOf } from './model.js';
import type { Violation } from './violation.js';
import { watchViolations } from './watchers.js';
import { writeViolations } from './writes.js';

/** Of what happened to an instance before a violation. */
const LINES = 15;

/** Everything in a history that no rule allows, in the order in which it happened. */
export function judge(history: History): Violation[] {
  const around = new Circumstances(history);
  const models = modelsOf(history, around);
  const found = [
    ...answerViolations(history, models, around),
    ...writeViolations(history, models),
    ...logViolations(history, models, around),
    ...watchViolations(history, around),
    ...history.of('ending').flatMap(endingViolations),
  ];
  return found.sort((a, b) => a.at - b.at);
}

/** One violation with what led to it: the faults before it, and all that happened to that instance. */
export function explain({ rule, at, id, text }: Violation, history: History): string {
  const startedAt = history.of('run')[0]?.at ?? 0;
  const seconds = (time: number) => ((time - startedAt) / 1000).toFixed(3);
  const lines = [`${seconds(at)} s [${rule}] ${text}`, `  faults: ${new Circumstances(history).describe(at)}`];
  if (id === undefined) return lines.join('\n');
  const near = history.all.filter((each) => 'id' in each && each.id === id && timeOf(each) > at - 25_000 && timeOf(each) < at + 5000).sort((a, b) => timeOf(a) - timeOf(b));
  const before = near.filter((each) => timeOf(each) <= at).slice(-LINES);
  return [...lines, ...[...before, ...near.filter((each) => timeOf(each) > at).slice(0, LINES / 3)].map((each) => `  ${seconds(timeOf(each))} ${lineOf(each)}`)].join('\n');
}

const timeOf = (each: Happened) => ('sentAt' in each ? each.sentAt : 'at' in each ? each.at : each.from);

function lineOf(each: Happened): string {
  if (each.t === 'try') return `${each.verb} ${each.inc} ${each.verb === 'beat' ? '' : `${each.group} v${each.v} `}at ${each.replica}: ${each.status} after ${each.receivedAt - each.sentAt} ms`;
  if (each.t === 'entry') return `log ${each.entry} ${each.kind} (${each.cause}) ${each.inc} ${each.group}`;
  if (each.t === 'frame') return `watcher ${each.watcher} at ${each.replica}: ${each.event} (${each.cause}) ${each.inc} v${each.v} ${each.revision}`;
  return JSON.stringify(each);
}

/** `502 lives, 15,066 beats, …` */
export function summary(history: History, violations: Violation[]): string {
  const count = (n: number) => n.toLocaleString('en');
  const [tries, frames] = [history.of('try'), history.of('frame')];
  const lives = new Set(tries.map(({ id, inc }) => `${id} ${inc}`)).size;
  const beats = tries.filter(({ verb, status }) => verb === 'beat' && status === 200).length;
  const answers = history.of('answer');
  const told = frames.filter(({ id }) => id !== undefined).length;
  const cuts = new Set(frames.map(({ watcher, connection }) => `${watcher} ${connection}`)).size - new Set(frames.map(({ watcher }) => watcher)).size;
  const marked = answers.filter(({ staleS, recovering }) => staleS !== undefined || recovering).length;
  const longest = Math.max(0, ...history.of('pause').map(({ ms }) => ms));
  return `seed ${history.of('run')[0]?.seed}: ${count(lives)} lives, ${count(beats)} beats, ${count(answers.length)} discoveries (${count(marked)} marked), ${count(told)} events, ${count(cuts)} cuts, ` +
    `${history.of('fault').length} faults: ${violations.length} violations; longest pause of the generator ${longest} ms`;
}
