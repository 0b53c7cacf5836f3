/** One thing that no rule of the design allows. */
export interface Violation {
  rule: Rule;
  at: number;
  id?: string;
  text: string;
}

/** Each rule, and what it says. The numbers of invariants are those of docs/design.md, section 9. */
export const RULES = {
  missing: 'an instance whose lease is in force is in every answer (1)',
  ghost: 'who was removed, expired or past its lease is in no answer that is not marked (2)',
  old: 'an answer that is not marked shows nothing that was changed more than a second before (2)',
  'not-found': 'no 404 to an owner whose lease is in force (1, 6)',
  fenced: 'no 409 to the latest who registered (6)',
  revived: 'no heartbeat is taken of one that was removed (5)',
  refused: 'a write is done, refused with 404 or 409, or answered 503',
  'false-expired': 'nobody is swept whose lease is in force (1)',
  late: 'who is past its lease is swept within two seconds while only clocks are wrong (3)',
  'false-removed': 'nobody is removed whom nobody removed',
  'told-twice': 'one departure is one event (3)',
  'watch-missed': 'a watcher is told every change of what it watches (4)',
  'watch-doubled': 'and once (4)',
  'watch-order': 'and in order (4)',
  grace: 'a grace follows an outage or a loss, and nothing else',
  epoch: 'another epoch follows a loss, and nothing else',
  end: 'in the end the replicas, the watchers, Redis and the owners say the same (4, 6)',
} as const;

export type Rule = keyof typeof RULES;
