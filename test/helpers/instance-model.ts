/** One call of one client, on one key. Times are of one clock, the caller's. */
export interface Operation<I, O> {
  client: number;
  call: number;
  /** Infinity: the outcome is unknown (a time-out, a 503). It may apply at any later time, or never. */
  return: number;
  input: I;
  /** undefined: unknown, whatever `return` says. */
  output: O | undefined;
}

export interface Model<S, I, O> {
  init: S;
  /** The states that may follow when `input` is answered with `output`, or with anything if that is undefined. undefined: it cannot be. */
  step(state: S, input: I, output: O | undefined): readonly S[] | undefined;
  /** Two states with one key are the same. */
  key(state: S): string;
  /** Whether this, so answered, leaves every state that it fits as it is: then it may be put in place wherever it first fits. */
  isLook(input: I, output: O): boolean;
}

export type InstanceInput =
  | { verb: 'register'; incarnation: string }
  | { verb: 'heartbeat' | 'remove'; incarnation?: string }
  | { verb: 'discover' };

/** Of a registration its outcome, or what HTTP tells of it: 201 new, 200 replaced or repeated. */
export type InstanceOutput = 'created' | 'replaced' | 'repeated' | 200 | 201 | 204 | 404 | 409 | { present: string } | 'absent';

/** One instance id whose lease never ends: which incarnation stands, or null. */
export const instanceModel: Model<string | null, InstanceInput, InstanceOutput> = {
  init: null,
  key: (state) => state ?? '',
  step(state, input, output) {
    const [next, answers] = run(state, input);
    return output === undefined || answers.includes(wordFor(output)) ? [next] : undefined;
  },
  // A registration answered 200 may have been a repetition, or have taken another's place: which, its place in the order decides.
  isLook({ verb }, output) {
    if (verb === 'register') return output === 'repeated';
    return verb !== 'remove' || output === 404 || output === 409;
  },
};

const wordFor = (output: InstanceOutput) => (typeof output === 'object' ? `present ${output.present}` : output);

function run(state: string | null, input: InstanceInput): [next: string | null, answers: (string | number)[]] {
  if (input.verb === 'discover') return [state, [state === null ? 'absent' : `present ${state}`]];
  if (input.verb === 'register') {
    const outcome = state === null ? 'created' : state === input.incarnation ? 'repeated' : 'replaced';
    return [input.incarnation, [outcome, state === null ? 201 : 200]];
  }
  if (state === null) return [state, [404]];
  if (input.incarnation !== undefined && input.incarnation !== state) return [state, [409]];
  return input.verb === 'heartbeat' ? [state, [200]] : [null, [204]];
}
