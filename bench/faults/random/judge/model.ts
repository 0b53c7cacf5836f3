import type { Entry, History, Try } from '../history.js';
import type { Circumstances } from './circumstances.js';

/** What the registry may hold of an id; undefined: nothing. */
export interface State {
  inc: string;
  group: string;
  v: number;
}
type States = (State | undefined)[];

/** One operation: all its tries. */
export interface Op {
  number: number;
  verb: Try['verb'];
  inc: string;
  group: string;
  v: number;
  /** First sent, and the latest moment at which any try of it may have happened. */
  from: number;
  until: number;
  /** When it was told that it is done; absent: in doubt for ever. */
  doneAt?: number;
  /** It was refused: as if it had not been, unless a try before was not. */
  refused?: boolean;
  /** After a loss it is open until then whether it is so. */
  openUntil: number;
}

interface Renewal {
  sentAt: number;
  doneAt: number;
}

/** What is known of one life: the leases that it surely had, and the latest that it may have had. */
interface Leases {
  sure: Renewal[];
  /** By when each try was sent, the latest moment at which it may have renewed. */
  tried: { from: number; until: number }[];
}

const NONE: Leases = { sure: [], tried: [] };

/** Everything that is known of one id. */
export class IdModel {
  readonly ops: Op[] = [];
  readonly tries: Try[] = [];
  readonly entries: Entry[] = [];
  readonly #leases = new Map<string, Leases>();
  /** What may be so once the first n operations are over. */
  readonly #after: States[] = [];

  constructor(
    readonly id: string,
    private readonly ttlMs: number,
    private readonly around: Circumstances,
  ) {}

  add(entry: Try) {
    this.tries.push(entry);
    const leases = this.#leases.get(entry.inc) ?? { sure: [], tried: [] };
    this.#leases.set(entry.inc, leases);
    const { verb, replica, sentAt, receivedAt, status } = entry;
    const doubtful = status === 0 || status === 503;
    const until = doubtful ? this.around.lastEffect(replica, sentAt, receivedAt) : receivedAt;
    const done = status >= 200 && status < 300;
    if (verb === 'beat' || verb === 'register' || verb === 'move') {
      if (done) leases.sure.push({ sentAt, doneAt: receivedAt });
      if (done || doubtful) leases.tried.push({ from: sentAt, until });
    }
    if (verb !== 'beat') this.#addTry(entry, until, done, doubtful);
  }

  #addTry({ verb, inc, group, v, op, replica, sentAt, receivedAt }: Try, until: number, done: boolean, doubtful: boolean) {
    let last = this.ops.at(-1);
    if (last?.number !== op) this.ops.push((last = { number: op, verb, inc, group, v, from: sentAt, until, openUntil: 0 }));
    last.until = Math.max(last.until, until);
    const gone = verb === 'remove' && !done && !doubtful; // refused: it was not there
    if (done || gone) Object.assign(last, { doneAt: receivedAt, openUntil: this.around.openUntil(replica, receivedAt) });
    else if (!doubtful) last.refused = true;
  }

  /** To be called once, when all is added. */
  close() {
    let states: States = [undefined];
    for (const op of this.ops) this.#after.push((states = op.doneAt === undefined ? unite(states, apply(op, states)) : apply(op, states)));
  }

  /**
   * What an answer may show that was asked for and given at these times and takes into account all that was acknowledged before `known`.
   * Undefined when it may be anything, because Redis lost what nobody need know any more.
   */
  states(known: number, until: number): States | undefined {
    let base = this.ops.length - 1;
    while (base >= 0 && !((this.ops[base] as Op).doneAt !== undefined && ((this.ops[base] as Op).doneAt as number) <= known)) base--;
    while (base >= 0 && ((this.ops[base] as Op).openUntil > known || (this.ops[base] as Op).doneAt === undefined)) {
      if ((this.ops[base] as Op).openUntil === Infinity) return undefined;
      base--;
    }
    let states: States = base < 0 ? [undefined] : (this.#after[base] as States);
    for (let n = base + 1; n < this.ops.length && (this.ops[n] as Op).from <= until; n++) states = unite(states, apply(this.ops[n] as Op, states));
    return states;
  }

  /** Its lease was surely in force from then until then, as far as a reader must know who knows all up to `known`. */
  inForce(inc: string, known: number, until: number): boolean {
    const { sure } = this.#leases.get(inc) ?? NONE;
    const renewed = (time: number, by: number) => sure.some(({ sentAt, doneAt }) => doneAt <= by && time <= sentAt + this.ttlMs);
    return renewed(until, known) || this.around.coveredUntil((time) => renewed(time, Math.min(known, time)), until, this.ttlMs);
  }

  /** The latest end that its lease can have, by all that was tried until then. */
  latestEnd(inc: string, until: number): number {
    const ended = this.entries.filter((each) => each.inc === inc && each.kind === 'expired' && each.at <= until).at(-1);
    const tried = (this.#leases.get(inc) ?? NONE).tried.filter(({ from }) => from <= until);
    const restored = this.entries.filter((each) => each.inc === inc && each.kind !== 'expired' && each.kind !== 'removed' && each.at <= until).map(({ at }) => at);
    const graces = this.around.graces.filter((at) => at <= until);
    const last = Math.max(0, ...tried.map((each) => Math.min(each.until, until)), ...restored);
    const isOver = ended && last < ended.at && !graces.some((at) => at > ended.at && this.around.near(this.around.losses, at, 0, 8000));
    return isOver ? ended.at : Math.max(last, ...graces) + this.ttlMs;
  }
}

function apply(op: Op, states: States): States {
  if (op.refused && op.verb !== 'remove') return unite(states, op.verb === 'patch' ? patched(op, states) : [stateOf(op)]);
  if (op.verb === 'remove') return [undefined];
  if (op.verb === 'patch') return patched(op, states);
  return [stateOf(op)];
}

const stateOf = ({ inc, group, v }: Op): State => ({ inc, group, v });
const patched = (op: Op, states: States): States => states.map((state) => (state && state.inc === op.inc ? { ...state, v: op.v } : state));

function unite(one: States, other: States): States {
  const key = (state: State | undefined) => (state ? `${state.inc} ${state.group} ${state.v}` : '');
  return [...new Map([...one, ...other].map((state) => [key(state), state])).values()];
}

/** Everything that is known of each id, from a whole history. */
export function modelsOf(history: History, around: Circumstances): Map<string, IdModel> {
  const ttlMs = history.of('run')[0]?.ttlMs ?? 0;
  const models = new Map<string, IdModel>();
  const modelOf = (id: string) => {
    const model = models.get(id) ?? new IdModel(id, ttlMs, around);
    models.set(id, model);
    return model;
  };
  for (const each of history.of('try').sort((a, b) => a.sentAt - b.sentAt)) modelOf(each.id).add(each);
  for (const each of history.of('entry')) if (each.id) modelOf(each.id).entries.push(each);
  for (const model of models.values()) model.close();
  return models;
}
