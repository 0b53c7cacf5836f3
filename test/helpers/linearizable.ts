import type { Model, Operation } from './instance-model.js';

export { instanceModel, type InstanceInput, type InstanceOutput, type Model, type Operation } from './instance-model.js';

export type Verdict<I, O> =
  | { ok: true }
  /**
   * `minimal`: operations that contradict each other, whatever of the rest of the history did happen or did not, in the order of
   * their calls; none can be left out, unless shrinking took too long. `at`: the return that no order gets past.
   */
  | { ok: false; minimal: Operation<I, O>[]; at: number };

/** An operation that must have happened, or may have, between its call and its deadline. */
interface Node<I, O> {
  op: Operation<I, O>;
  call: number;
  deadline: number;
  required: boolean;
  /** Of what may have happened: its place in `used`, and an earlier one that does the same. */
  bit: bigint;
  twin: Node<I, O> | undefined;
}

/** How far a search has come. */
interface Config<S> {
  /** Every required operation before this one is in place … */
  first: number;
  /** … and these behind it, in order. */
  ahead: readonly number[];
  used: bigint;
  /** The latest call in place: what had to be over before it can no longer come. */
  latest: number;
  state: S;
}

const SEARCH_MAX = 300_000;
const SHRINK_MAX = 20_000;
const SHRINK_MS = 2000;

/**
 * Whether one order of the operations explains every answer, each taking place between its call and its return: Wing and Gong's
 * search, which remembers where it has been (Lowe, "Testing for linearizability"). Throws if a history is too ambiguous to decide.
 */
export function check<S, I, O>(history: readonly Operation<I, O>[], model: Model<S, I, O>, maxSteps = SEARCH_MAX): Verdict<I, O> {
  const nodes = history.map((op) => {
    const known = op.output !== undefined;
    return { op, call: op.call, deadline: known ? op.return : Infinity, required: known, bit: 0n, twin: undefined };
  });
  const found = search(nodes, model, [model.init], maxSteps);
  if (found === undefined) return { ok: true };
  const minimal = shrink(upTo(nodes, found.blockedAt), model, found.states);
  return { ok: false, minimal: minimal.map(({ op }) => op), at: found.blockedAt };
}

/** What was called by then; what was under way may have happened. */
function upTo<I, O>(nodes: Node<I, O>[], time: number): Node<I, O>[] {
  return nodes.filter(({ call }) => call <= time).map((node) => ({ ...node, required: node.required && node.deadline <= time }));
}

/** The shortest end that no state before it explains, and of that the fewest that no order explains. */
function shrink<S, I, O>(nodes: Node<I, O>[], model: Model<S, I, O>, states: S[]): Node<I, O>[] {
  const returns = nodes.flatMap(({ required, deadline }) => (required ? [deadline] : [])).sort((a, b) => b - a);
  for (let size = 1; size < returns.length; size *= 2) {
    const from = returns[size - 1] as number;
    const end = nodes.filter(({ deadline }) => deadline >= from).map((node) => ({ ...node, required: node.required && node.call >= from }));
    if (isImpossible(end, model, states)) return weaken(end, model, states);
  }
  return weaken(nodes, model, [model.init]);
}

/** Lets operations be mere possibilities, as many at once as can be, for as long as no order explains the rest. */
function weaken<S, I, O>(nodes: Node<I, O>[], model: Model<S, I, O>, states: S[]): Node<I, O>[] {
  const end = performance.now() + SHRINK_MS;
  let needed = nodes.filter(({ required }) => required);
  for (let size = Math.ceil(needed.length / 2); size >= 1; size = size === 1 ? 0 : Math.ceil(size / 2)) {
    for (let at = 0; at < needed.length && performance.now() < end; ) {
      const without = needed.filter((_, i) => i < at || i >= at + size);
      const kept = new Set(without.map(({ op }) => op));
      const weaker = nodes.map((node) => ({ ...node, required: kept.has(node.op) }));
      if (isImpossible(weaker, model, states)) needed = without;
      else at += size;
    }
  }
  return needed.sort((a, b) => a.call - b.call);
}

function isImpossible<S, I, O>(nodes: Node<I, O>[], model: Model<S, I, O>, states: S[]): boolean {
  try {
    return search(nodes, model, states, SHRINK_MAX) !== undefined;
  } catch (error) {
    if (error instanceof Undecided) return false;
    throw error;
  }
}

class Undecided extends Error {}

/** undefined when an order was found, else the return that no order gets past, and every state that could be before it. */
function search<S, I, O>(nodes: Node<I, O>[], model: Model<S, I, O>, from: S[], max: number): { blockedAt: number; states: S[] } | undefined {
  const byCall = [...nodes].sort((a, b) => a.call - b.call);
  const required = byCall.filter((node) => node.required);
  const possible = linkTwins(byCall.filter((node) => !node.required));
  const space = { required, possible, hasDeadlines: possible.some(({ deadline }) => deadline < Infinity), model };

  const visited = new Map<string, bigint[]>();
  const states = new Map<string, S>();
  const stack: { config: Config<S>; isSecond: boolean }[] = [];
  for (const state of from) stack.push({ config: { first: 0, ahead: [], used: 0n, latest: -Infinity, state }, isSecond: false });
  let blockedAt = -Infinity;
  for (let steps = 0, top = stack.pop(); top; top = stack.pop()) {
    if (top.isSecond) {
      for (const config of movesBySpending(space, top.config)) stack.push({ config, isSecond: false });
      continue;
    }
    const here = settle(space, top.config);
    if (here.first === required.length) return undefined;
    const key = model.key(here.state);
    if (isKnown(visited, `${here.first}|${here.ahead.join()}|${key}`, here.used)) continue;
    if (++steps > max) throw new Undecided(`not decided after ${max} steps`);
    states.set(key, here.state);
    blockedAt = Math.max(blockedAt, openAt(required, here).firstReturn);
    // The last pushed is tried first: what may never have happened is called upon only where nothing else leads on.
    stack.push({ config: here, isSecond: true });
    for (const config of moves(space, here)) stack.push({ config, isSecond: false });
  }
  return { blockedAt, states: [...states.values()] };
}

interface Space<S, I, O> {
  /** Both in the order of their calls. */
  required: Node<I, O>[];
  possible: Node<I, O>[];
  hasDeadlines: boolean;
  model: Model<S, I, O>;
}

/** Of two that would do the same whenever they come, only the earlier one needs to be tried first. */
function linkTwins<I, O>(possible: Node<I, O>[]): Node<I, O>[] {
  const last = new Map<string, Node<I, O>>();
  return possible.map((node, i) => {
    const linked: Node<I, O> = { ...node, bit: 1n << BigInt(i), twin: undefined };
    if (node.deadline < Infinity) return linked;
    const name = JSON.stringify([node.op.input, node.op.output]);
    linked.twin = last.get(name);
    last.set(name, linked);
    return linked;
  });
}

/** Was it here before with no more spent of what may have happened? Then this search finds nothing new. */
function isKnown(visited: Map<string, bigint[]>, key: string, used: bigint): boolean {
  const before = visited.get(key);
  if (before?.some((other) => (other & used) === other)) return true;
  visited.set(key, [...(before ?? []).filter((other) => (other & used) !== used), used]);
  return false;
}

/** The required operations that may come next: called before any other that is not in place has returned. */
function openAt<S, I, O>(required: Node<I, O>[], { first, ahead }: Config<S>): { open: number[]; firstReturn: number } {
  const open: number[] = [];
  let firstReturn = Infinity;
  for (let at = first, done = 0; at < required.length; at++) {
    const { call, deadline } = required[at] as Node<I, O>;
    if (call > firstReturn) break;
    if (ahead[done] === at) {
      done++;
      continue;
    }
    open.push(at);
    firstReturn = Math.min(firstReturn, deadline);
  }
  return { open, firstReturn };
}

function usable<S, I, O>({ possible }: Space<S, I, O>, { used, latest }: Config<S>, firstReturn: number): Node<I, O>[] {
  const end = possible.findIndex(({ call }) => call > firstReturn);
  const called = end < 0 ? possible : possible.slice(0, end);
  return called.filter(({ bit, deadline, twin }) => (used & bit) === 0n && deadline >= latest && (!twin || (used & twin.bit) !== 0n));
}

function step<S, I, O>({ required, model }: Space<S, I, O>, state: S, at: number): readonly S[] {
  const { input, output } = (required[at] as Node<I, O>).op;
  return model.step(state, input, output) ?? [];
}

/** With one more required operation in place; last the one that must be over soonest. */
function moves<S, I, O>(space: Space<S, I, O>, here: Config<S>): Config<S>[] {
  const { open } = openAt(space.required, here);
  open.sort((a, b) => (space.required[b] as Node<I, O>).deadline - (space.required[a] as Node<I, O>).deadline);
  return open.flatMap((at) => step(space, here.state, at).map((state) => place(space, here, at, state)));
}

/** The same after some of what may have happened, where that leads elsewhere. */
function movesBySpending<S, I, O>(space: Space<S, I, O>, here: Config<S>): Config<S>[] {
  const { open } = openAt(space.required, here);
  const nameOf = (at: number, state: S) => `${at}|${space.model.key(state)}`;
  const direct = new Set(open.flatMap((at) => step(space, here.state, at).map((state) => nameOf(at, state))));
  return spend(space, here).reverse().flatMap((spent) =>
    open.flatMap((at) => {
      const states = step(space, spent.state, at).filter((state) => !direct.has(nameOf(at, state)));
      return states.map((state) => place(space, spent, at, state));
    }),
  );
}

/** Every other state that possibilities lead to, the cheapest ways first. */
function spend<S, I, O>(space: Space<S, I, O>, here: Config<S>): Config<S>[] {
  const { model, required } = space;
  const { firstReturn } = openAt(required, here);
  const known = new Map([[model.key(here.state), [here.used]]]);
  const ways = [here];
  for (const way of ways) {
    for (const { op, call, bit } of usable(space, way, firstReturn)) {
      for (const state of model.step(way.state, op.input, op.output) ?? []) {
        const used = way.used | bit;
        if (!isKnown(known, model.key(state), used)) ways.push({ ...way, used, latest: Math.max(way.latest, call), state });
      }
    }
  }
  return ways.slice(1);
}

function place<S, I, O>({ required }: Space<S, I, O>, here: Config<S>, at: number, state: S): Config<S> {
  const latest = Math.max(here.latest, (required[at] as Node<I, O>).call);
  if (at !== here.first) return { ...here, ahead: [...here.ahead, at].sort((a, b) => a - b), latest, state };
  let done = 0;
  while (here.ahead[done] === at + 1 + done) done++;
  return { ...here, first: at + 1 + done, ahead: here.ahead.slice(done), latest, state };
}

/** Puts in place, one after the other, what only looks: its answer fits now, and nothing is lost by having it done. */
function settle<S, I, O>(space: Space<S, I, O>, config: Config<S>): Config<S> {
  const { required, model } = space;
  let here = config;
  for (;;) {
    const { open, firstReturn } = openAt(required, here);
    const key = model.key(here.state);
    const late = space.hasDeadlines ? usable(space, here, firstReturn).reduce((least, { deadline }) => Math.min(least, deadline), Infinity) : Infinity;
    const idle = open.find((at) => {
      const { op, call } = required[at] as Node<I, O>;
      const [next] = step(space, here.state, at);
      return call <= late && next !== undefined && model.isLook(op.input, op.output as O) && model.key(next) === key;
    });
    if (idle === undefined) return here;
    here = place(space, here, idle, here.state);
  }
}
