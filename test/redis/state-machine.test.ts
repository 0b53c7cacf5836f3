import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Status } from '../../src/contract/index.js';
import { homeKey, type Home } from '../../src/registry/home.js';
import type { BeatResult } from '../../src/registry/registry.js';
import { RegistryError } from '../../src/registry/errors.js';
import { Answers } from '../../src/registry/table/answers.js';
import { Load } from '../../src/redis/load/load.js';
import { bound } from '../helpers/bounds.js';
import { openRegistry } from '../helpers/gateway.js';
import { Model, type Logged, type Patch } from '../helpers/model.js';
import { CALLER, complete, expectChain, lapse, readStore, redisNow, type StoreState } from '../helpers/store.js';

const HOMES: Home[] = [{ type: 'game', group: 'kr-1' }, { type: 'game', group: 'us-1' }, { type: 'chat', group: 'kr-1' }];
const id = fc.constantFrom('a', 'b', 'c');
const life = fc.constantFrom('life-1', 'life-2');
const home = fc.constantFrom(...HOMES);
const some = <T>(values: fc.Arbitrary<T>) => fc.option(values, { nil: undefined });
// Keys and values that two JSON writers order or escape differently.
const labelKey = fc.constantFrom('zone', 'app.example.com/tier', 'b');
const labelValue = fc.constantFrom('1', 'x/y', 'ü"\\');
const state = fc.constantFrom('loading', '-', '=', '');
const patch: fc.Arbitrary<Patch> = fc.record(
  {
    status: fc.constantFrom('ready' as const, 'error' as const),
    customState: fc.option(state),
    labels: fc.dictionary(labelKey, fc.option(labelValue), { maxKeys: 3, noNullPrototype: true }),
  },
  { requiredKeys: [] },
);
const content = fc.record({
  hostname: fc.constantFrom('one.example.com', 'two.example.com'),
  status: fc.constantFrom('ready' as const, 'initializing' as const),
  customState: state,
  labels: fc.dictionary(labelKey, labelValue, { maxKeys: 3, noNullPrototype: true }),
});
const guards = { incarnation: some(life), home: some(home) };
const is = <T extends string>(verb: T) => fc.constant(verb);

const step = fc.oneof(
  { weight: 6, arbitrary: fc.record({ verb: is('register'), id, incarnation: life, home, content, asItStands: fc.boolean(), from: some(fc.option(home)) }) },
  { weight: 4, arbitrary: fc.record({ verb: is('heartbeat'), beats: fc.array(fc.record({ id, ...guards, patch }), { minLength: 1, maxLength: 4 }) }) },
  { weight: 3, arbitrary: fc.record({ verb: is('patch'), id, home: guards.home, patch, cordoned: some(fc.boolean()) }) },
  { weight: 2, arbitrary: fc.record({ verb: is('remove'), id, incarnation: guards.incarnation, group: some(fc.constantFrom('kr-1', 'us-1')) }) },
  { weight: 4, arbitrary: fc.record({ verb: is('lapse'), id }) },
  { weight: 3, arbitrary: fc.record({ verb: is('sweep') }) },
  { weight: 1, arbitrary: fc.record({ verb: is('outage') }) },
  { weight: 1, arbitrary: fc.record({ verb: is('grace over') }) },
  { weight: 2, arbitrary: fc.record({ verb: is('write by hand'), id, home, whole: fc.boolean() }) },
  { weight: 2, arbitrary: fc.record({ verb: is('reconcile') }) },
);
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;
type Opened = Awaited<ReturnType<typeof openRegistry>>;

const definedOf = <T extends object>(fields: T) =>
  Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as { [K in keyof T]?: Exclude<T[K], undefined> };
const codeOf = (error: unknown) => (error instanceof RegistryError ? error.code : error);
const CODES: Record<string, number> = { instance_not_found: 404, stale_incarnation: 409 };
const statusOf = (error: unknown) => CODES[String(codeOf(error))] ?? error;

/** Does one step to Redis and to the model, and compares what they answered. */
async function take(action: Step, model: Model, { registry, maintenance, raw, keys }: Opened) {
  await raw.set(keys.alive, await redisNow(raw)); // an outage is a step of its own here
  switch (action.verb) {
    case 'register': {
      const stands = action.asItStands ? model.instances.get(action.id) : undefined;
      const { hostname, status, customState, labels } = stands ?? action.content;
      const given = { hostname, status: status as Status, customState, labels: { ...labels }, incarnation: action.incarnation };
      const expected = model.register(action.id, { ...given, home: action.home }, action.from);
      const answer = registry.register(complete({ instanceId: action.id, ...action.home, ...given }), CALLER, action.from);
      return expect(await answer.then(({ outcome }) => outcome, codeOf)).toBe(expected);
    }
    case 'heartbeat': {
      const expected = model.heartbeats(action.beats.map(({ id: one, patch: change, ...guard }) => ({ id: one, guards: definedOf(guard), patch: change })));
      const beats = action.beats.map(({ id: instanceId, patch: change, ...guard }) => ({ instanceId, ...definedOf(guard), ...change }));
      const results: BeatResult[] = await registry.heartbeat(beats);
      return expect(results.map(({ status }) => status)).toEqual(expected);
    }
    case 'patch': {
      const change = { ...action.patch, ...definedOf({ cordoned: action.cordoned }) };
      const expected = model.patch(action.id, change, action.home);
      const answer = registry.patch(action.id, change, CALLER, { home: action.home });
      return expect(await answer.then(() => 200, statusOf)).toBe(expected);
    }
    case 'remove': {
      const guard = definedOf({ group: action.group, incarnation: action.incarnation });
      const expected = model.remove(action.id, guard);
      return expect(await registry.remove(action.id, guard, CALLER).then(() => 204, statusOf)).toBe(expected);
    }
    case 'lapse': {
      const known = model.instances.get(action.id);
      if (known) await lapse(raw, keys, [action.id], homeKey(known.home));
      return model.lapse(action.id);
    }
    case 'sweep': {
      const { evicted } = await maintenance.sweep();
      return expect(evicted.map((member) => member.split(':')[2]).sort()).toEqual(model.sweep());
    }
    case 'outage':
      await raw.del(keys.alive);
      await maintenance.sweep(); // begins with a pulse, which notices
      model.grace = true;
      return model.sweep();
    case 'grace over':
      await raw.del(keys.grace);
      return (model.grace = false);
    case 'write by hand':
      return writeByHand(action, model, raw, keys);
    case 'reconcile': {
      const expected = model.reconcile();
      const { removed, adopted } = await maintenance.reconcile(AbortSignal.timeout(5000));
      expect({ removed, adopted: adopted.map((member) => member.split(':')[2]).sort() }).toEqual({ ...expected, adopted: expected.adopted.sort() });
      return adoptInto(model, adopted, await readStore(raw, keys));
    }
  }
}

async function writeByHand(action: Extract<Step, { verb: 'write by hand' }>, model: Model, raw: Opened['raw'], keys: Opened['keys']) {
  const known = model.instances.get(action.id);
  const elsewhere = [...model.strays].some((stray) => stray.endsWith(`:${action.id}`));
  const member = `${homeKey(action.home)}:${action.id}`;
  if (elsewhere || (known && homeKey(known.home) === homeKey(action.home))) return;
  await raw.sadd(keys.members(homeKey(action.home)), action.id);
  model.strays.add(member);
  if (known || !action.whole) return;
  await raw.multi().hset(keys.face(action.id), { hostname: 'hand.example.com' }).expire(keys.face(action.id), 30).exec();
  model.handwritten.set(action.id, action.home);
}

/** An adopted instance gets an incarnation that only Redis knows. */
function adoptInto(model: Model, adopted: string[], { records }: StoreState) {
  for (const [type = '', group = '', adoptedId = ''] of adopted.map((member) => member.split(':'))) {
    const { incarnation = '', hostname = '' } = records.get(adoptedId) ?? {};
    const known = { home: { type, group }, incarnation, hostname, status: 'ready', customState: '', labels: {}, cordoned: false, lapsed: false, face: true };
    model.instances.set(adoptedId, known);
    model.log.push({ kind: 'registered', cause: 'adopt', id: adoptedId, incarnation });
  }
}

async function expectSameStore(model: Model, { raw, keys }: Opened) {
  const stored = await readStore(raw, keys);
  const ids = [...model.instances.keys()].sort();
  expect([...stored.records.keys()].sort(), 'records').toEqual(ids);
  expect([...stored.leases.keys()].sort(), 'leases').toEqual(ids.map((one) => `${homeKey(model.instances.get(one)!.home)}:${one}`).sort());
  expect([...stored.members].sort(), 'members').toEqual(model.members());
  expect([...stored.groups].sort(), 'groups').toEqual([...model.groups].sort());
  for (const [one, known] of model.instances) {
    const record = stored.records.get(one)!;
    const { home: where, lapsed: _lapsed, face, cordoned, labels, customState, ...plain } = known;
    expect(record).toMatchObject({ instanceId: one, ...where, ...plain });
    expect([record.customState ?? '', record.cordoned === '1', JSON.parse(record.labels ?? '{}')]).toEqual([customState, cordoned, labels]);
    expect(stored.faces.get(one), `face of ${one}`).toEqual(face ? record : undefined);
  }
  const faces = [...[...model.instances].filter(([, { face }]) => face).map(([one]) => one), ...model.handwritten.keys()];
  expect([...stored.faces.keys()].sort(), 'faces').toEqual(faces.sort());

  expectChain(stored.events);
  const log = stored.events.map(({ kind, cause, instanceId, incarnation, replaces, lapsed, fromGroup }) =>
    definedOf({ kind, cause, id: instanceId, incarnation, replaces, lapsed, fromGroup }));
  expect(inRuns(log), 'log').toEqual(inRuns([...model.log]));
}

/**
 * A view that is loaded now shows who is live. One that followed shows the same records, and those that were made to lapse by
 * hand too: it was told no end of theirs.
 */
async function expectSameViews(model: Model, { registry, store }: Opened) {
  const load = await Load.begin(store, 0);
  do await load.ask(true);
  while (!(await load.step()));
  const { table, pulse } = load;
  table.advance(pulse.nowMs, pulse.graceFromMs);
  const loaded = new Answers(table).answer({ limit: 100 }, performance.now()).read().instances;
  const live = [...model.instances].filter(([, known]) => model.isLive(known)).map(([one]) => one);
  expect(loaded.map(({ instanceId }) => instanceId).sort(), 'in a view loaded now').toEqual(live.sort());

  const followed = (await registry.discover({ limit: 100 })).answer.read().instances;
  expect(followed.map(({ instanceId }) => instanceId).sort(), 'in the view that followed').toEqual([...model.instances.keys()].sort());
  for (const { expiresAt: _, ...rest } of loaded) {
    expect((await registry.find(rest.instanceId)).found?.instance, `record of ${rest.instanceId}`).toMatchObject(rest);
    const { lastHeartbeat: __, ...content } = rest; // in a list it may be a second old
    expect(followed.find(({ instanceId }) => instanceId === rest.instanceId), `record of ${rest.instanceId} in a list`).toMatchObject(content);
  }
}

/** Those that expire in one sweep do so in no particular order, and so do those adopted in one reconcile: neighbours are sorted. */
function inRuns(log: Partial<Logged>[]): Partial<Logged>[][] {
  const runs: Partial<Logged>[][] = [];
  for (const entry of log) {
    const [neighbour] = runs.at(-1) ?? [];
    const together = ['lease', 'adopt'].includes(entry.cause ?? '') && neighbour?.cause === entry.cause;
    if (together) runs.at(-1)?.push(entry);
    else runs.push([entry]);
  }
  return runs.map((run) => run.sort((one, other) => (String(one.id) < String(other.id) ? -1 : 1)));
}

test('whatever is done in whatever order, Redis and the views of it hold exactly what a small model of the registry holds', { timeout: bound(110_000, 620_000) }, async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 40, size: 'max' }), async (steps) => {
      const closers: (() => Promise<void>)[] = [];
      const opened = await openRegistry({ cleanup: (close) => closers.push(close) });
      const model = new Model();
      try {
        for (const action of steps) {
          await take(action, model, opened);
          await expectSameStore(model, opened);
          await expectSameViews(model, opened);
        }
      } finally {
        for (const close of closers.reverse()) await close(); // or a hundred views would be read by the end
      }
    }),
    { numRuns: bound(50, 400), interruptAfterTimeLimit: bound(90_000, 600_000), markInterruptAsFailure: true },
  );
});
