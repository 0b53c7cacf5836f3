import type { History, Try } from '../history.js';
import type { IdModel } from './model.js';
import type { Violation } from './violation.js';

/** What owners were answered. */
export function writeViolations(history: History, models: Map<string, IdModel>): Violation[] {
  return history.of('try').flatMap((call) => judge(call, models.get(call.id) as IdModel));
}

function judge(call: Try, model: IdModel): Violation[] {
  const { verb, id, inc, status, sentAt, receivedAt, replica } = call;
  const states = model.states(sentAt, receivedAt);
  const say = (rule: Violation['rule'], what: string): Violation[] => [{ rule, at: receivedAt, id, text: `${verb} of ${id} as ${inc} by replica ${replica}: ${status}, ${what}` }];
  if (![0, 200, 201, 204, 404, 409, 503].includes(status)) return say('refused', 'which is no answer to it');
  if (!states || verb === 'register' || verb === 'move' || verb === 'remove') return [];
  const mine = states.every((state) => state?.inc === inc);
  if (status === 404 && mine && model.inForce(inc, sentAt, receivedAt)) return say('not-found', 'and its lease is in force');
  if (status === 409 && mine) return say('fenced', 'and nobody else ever asked for that id since');
  if (verb === 'beat' && status === 200 && !states.some((state) => state?.inc === inc)) return say('revived', states.some(Boolean) ? 'and another has its id' : 'and it has been removed');
  return [];
}
