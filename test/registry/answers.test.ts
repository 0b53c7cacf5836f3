import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Answers } from '../../src/registry/table/answers.js';
import type { Departure } from '../../src/registry/log/change.js';
import type { LogRecord } from '../../src/registry/log/record.js';
import type { Discovery } from '../../src/registry/queries.js';
import { inScope } from '../../src/registry/scope.js';
import { Table } from '../../src/registry/table/table.js';
import { change, EPOCH, idAt, record, T0 } from './sample.js';

type Shown = { instanceId: string; type: string; group: string; departed?: { kind: string } };
const TYPES = ['a', 'a-b', 'b'];
const GROUPS = ['x', 'x.1'];
const IDS = ['i', 'i-1', 'i.1', 'j', 'K', 'l', 'm'];

const id = fc.constantFrom(...IDS);
const type = fc.constantFrom(...TYPES);
const group = fc.constantFrom(...GROUPS);
const status = fc.constantFrom('ready' as const, 'error' as const, 'initializing' as const);
const labels = fc.dictionary(fc.constantFrom('zone', 'constructor', 'v'), fc.constantFrom('1', '2'), { maxKeys: 2, noNullPrototype: true });
const optional = { requiredKeys: [] as [] };
const step = fc.oneof(
  { weight: 6, arbitrary: fc.record({ verb: fc.constant('register' as const), id, type, group, status, labels, ttlSeconds: fc.constantFrom(1, 30, 3600) }) },
  { weight: 2, arbitrary: fc.record({ verb: fc.constantFrom('removed' as const, 'expired' as const), id }) },
  { weight: 2, arbitrary: fc.record({ verb: fc.constant('renew' as const), id }) },
  { weight: 2, arbitrary: fc.record({ verb: fc.constant('pass' as const), ms: fc.constantFrom(10, 900, 40_000) }) },
);
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;
const after = fc.tuple(fc.constantFrom(...TYPES, 'c', 'A'), fc.constantFrom(...GROUPS, 'y'), fc.constantFrom(...IDS, 'zz')).map((parts) => parts.join(':'));
const query: fc.Arbitrary<Discovery> = fc.record(
  {
    type,
    group,
    statuses: fc.uniqueArray(status, { minLength: 1 }),
    labels,
    scope: fc.record({ types: fc.constant(['a*']), groups: fc.constantFrom(['x'], ['*1'], []) }, optional),
    after,
    offline: fc.boolean(),
    limit: fc.constantFrom(1, 2, 3, 100),
  },
  { requiredKeys: ['limit'] },
);

/** A table, the answers from it, and how many changes it took. */
class World {
  readonly table = new Table({ epoch: EPOCH, id: '' }, 100_000);
  readonly answers = new Answers(this.table);
  nowMs = T0;
  #seq = 0;

  run(one: Step) {
    const at = idAt(this.nowMs, ++this.#seq);
    if (one.verb === 'register') {
      const { verb: _, id: instanceId, ...content } = one;
      this.table.apply(change(at, 'registered', record({ instanceId, ...content, bornMs: this.nowMs })));
    } else if (one.verb === 'renew') this.table.renew([one.id], [`{"sent":${this.nowMs}}`], this.nowMs);
    else if (one.verb === 'pass') this.nowMs += one.ms;
    else {
      const known = this.table.members.get(one.id);
      if (known) this.table.apply(change(at, one.verb, known.record));
    }
    this.table.advance(this.nowMs, 0);
  }

  ask(asked: Discovery) {
    const answer = this.answers.answer(asked, this.nowMs);
    return { etag: answer.etag, ...(JSON.parse(answer.body.toString()) as { instances: Shown[]; next?: string }) };
  }

  /** The same, by looking at each instance. */
  naive(asked: Discovery) {
    const live = [...this.table.members.values()].filter(({ standing }) => standing !== 'lapsed').map(({ record: of }) => ({ of, departure: undefined as Departure | undefined }));
    const departed = asked.offline ? [...this.table.departed].map((departure) => ({ of: departure.change.record, departure })) : [];
    const all = [...live, ...departed].filter(({ of }) => isAsked(asked, of)).sort((a, b) => compare(keyOf(a.of), keyOf(b.of)));
    const behind = all.filter(({ of }) => asked.after === undefined || compare(keyOf(of), asked.after.split(':')) > 0);
    const page = behind.slice(0, asked.limit);
    const last = page.at(-1);
    return {
      ids: page.map(({ of, departure }) => `${keyOf(of).join(':')}${departure ? ` ${departure.kind}` : ''}`),
      next: behind.length > page.length && last ? keyOf(last.of).join(':') : undefined,
    };
  }
}

const keyOf = (of: { type: string; group: string; instanceId: string }) => [of.type, of.group, of.instanceId];
const compare = (one: string[], other: string[]) => {
  for (let i = 0; i < 3; i++) if (one[i] !== other[i]) return (one[i] as string) < (other[i] as string) ? -1 : 1;
  return 0;
};
const isAsked = (asked: Discovery, of: LogRecord) =>
  (asked.type === undefined || asked.type === of.type) &&
  (asked.group === undefined || asked.group === of.group) &&
  (asked.statuses === undefined || asked.statuses.includes(of.status)) &&
  Object.entries(asked.labels ?? {}).every(([key, value]) => Object.entries(of.labels).some(([k, v]) => k === key && v === value)) &&
  inScope(asked.scope, of);

const idsOf = (instances: Shown[]) => instances.map((one) => `${keyOf(one).join(':')}${one.departed ? ` ${one.departed.kind}` : ''}`);

test('every query is answered as one would by looking at each instance, at once after every change', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), fc.array(query, { minLength: 1, maxLength: 6 }), (steps, queries) => {
      const world = new World();
      for (const one of steps) {
        world.run(one);
        for (const asked of queries) {
          const { instances, next } = world.ask(asked);
          expect({ ids: idsOf(instances), next }).toEqual(world.naive(asked));
        }
      }
    }),
    { numRuns: 300 },
  );
});

test('two tables that hold the same answer every query with the same tag, whatever came before in each', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), fc.array(query, { minLength: 1, maxLength: 6 }), (steps, queries) => {
      const world = new World();
      steps.forEach((one) => {
        world.run(one);
        queries.forEach((asked) => world.ask(asked));
      });
      const other = new World();
      other.nowMs = world.nowMs;
      for (const { record: of, scoreMs, changedBy } of [...world.table.members.values()].reverse()) other.table.load(of, scoreMs, changedBy);
      other.table.departed.precede([...world.table.departed].reverse().map(({ change }) => change));
      other.table.advance(world.nowMs, 0);
      for (const asked of queries) expect(other.ask(asked)).toMatchObject({ etag: world.ask(asked).etag });
    }),
    { numRuns: 200 },
  );
});

const UNCOUNTED = ['lastHeartbeat', 'expiresAt', 'performance', 'registeredAt', 'updatedAt'];
const withoutTimes = (one: Shown) => Object.fromEntries(Object.entries(one).filter(([field]) => !UNCOUNTED.includes(field)));

test('the tag changes with what is shown, and with nothing else', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), query, (steps, asked) => {
      const world = new World();
      let last = world.ask(asked);
      for (const one of steps) {
        world.run(one);
        const next = world.ask(asked);
        const content = ({ instances, next: more }: typeof next) => JSON.stringify([instances.map(withoutTimes), more]);
        if (content(last) !== content(next)) expect(next.etag).not.toBe(last.etag);
        else if (!asked.offline) expect(next.etag).toBe(last.etag);
        last = next;
      }
    }),
    { numRuns: 200 },
  );
});

test('pages that follow each other hold everything once', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), query, (steps, asked) => {
      const world = new World();
      steps.forEach((one) => world.run(one));
      const { after: _, ...rest } = asked;
      const pages: string[] = [];
      for (let next: string | undefined; ; ) {
        const page = world.ask({ ...rest, ...(next !== undefined && { after: next }) });
        pages.push(...idsOf(page.instances));
        if ((next = page.next) === undefined) break;
      }
      expect(pages).toEqual(world.naive({ ...rest, limit: 1000 }).ids);
    }),
    { numRuns: 200 },
  );
});

test.each<[string, Discovery]>([
  ['a whole group', { type: 'a', group: 'x', limit: 100 }],
  ['a part of it', { type: 'a', group: 'x', statuses: ['ready'], limit: 100 }],
  ['everything', { limit: 100 }],
])('asked again, %s is the very same answer until something changes, and heartbeats show within two seconds', (_, asked) => {
  const world = new World();
  world.run({ verb: 'register', id: 'i', type: 'a', group: 'x', status: 'ready', labels: {}, ttlSeconds: 3600 });
  const first = world.answers.answer(asked, world.nowMs);
  expect(world.answers.answer(asked, world.nowMs)).toBe(first);
  let beat = T0;
  for (let i = 0; i < 100; i++) {
    world.nowMs += 10 + ((i * 37) % 90);
    if (i % 3 === 0) {
      world.run({ verb: 'renew', id: 'i' });
      beat = world.nowMs;
    }
    const answer = world.answers.answer(asked, world.nowMs);
    expect(answer.etag).toBe(first.etag);
    const sent = Number(/"sent":(\d+)/.exec(answer.body.toString())?.[1] ?? T0);
    expect(beat - sent).toBeLessThan(2000);
  }
  world.run({ verb: 'register', id: 'j', type: 'a', group: 'x', status: 'ready', labels: {}, ttlSeconds: 3600 });
  expect(idsOf(world.ask(asked).instances)).toEqual(['a:x:i', 'a:x:j']);
});

test('answers to thousands of different queries are not all kept', () => {
  const world = new World();
  for (let i = 0; i < 300; i++) world.table.apply(change(idAt(T0, i + 1), 'registered', record({ instanceId: `i-${i}`, customState: 'x'.repeat(250) })));
  const ask = (i: number) => world.answers.answer({ labels: {}, limit: 1000 + i }, world.nowMs);
  const [first, last] = [ask(0), Array.from({ length: 2000 }, (_, i) => ask(i + 1)).at(-1)];
  first.body.toString();
  expect(ask(2000)).toBe(last);
  expect(ask(0)).not.toBe(first);
});
