import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Change } from '../../src/registry/log/change.js';
import { TagSum } from '../../src/registry/log/content-tag.js';
import { instanceJson, type LogRecord } from '../../src/registry/log/record.js';
import type { Home } from '../../src/registry/home.js';
import { REPLANNED_AT_ONCE } from '../../src/registry/table/leases.js';
import { Table } from '../../src/registry/table/table.js';
import { change, EPOCH, heapMb, idAt, record, T0 } from './sample.js';

const HOUR = 3_600_000;
const OFFLINE_MS = 60_000;
// 'a-b:x' sorts before 'a:x' as one text, and not by type.
const HOMES: Home[] = ['a', 'a-b', 'a.b'].flatMap((type) => ['x', 'x-1'].map((group) => ({ type, group })));

interface Known {
  record: LogRecord;
  scoreMs: number;
  changedBy: string;
}

/** What a table is to hold, told in the plainest way: everything is worked out anew each time it is asked for. */
class Naive {
  readonly known = new Map<string, Known>();
  departed: { id: string; atMs: number; kind: string }[] = [];
  watermarkMs = T0;
  graceMs = 0;

  endOf = ({ record: { ttlMs }, scoreMs }: Known) => Math.max(scoreMs, this.graceMs + ttlMs);
  isVisible = (known: Known) => this.endOf(known) > this.watermarkMs;
  ids(home: Home, visible: boolean) {
    const here = [...this.known.values()].filter(({ record: { type, group } }) => type === home.type && group === home.group);
    return here.filter((known) => this.isVisible(known) === visible).map(({ record: { instanceId } }) => instanceId).sort();
  }

  put(of: LogRecord, scoreMs: number, changedBy: string) {
    this.known.set(of.instanceId, { record: of, scoreMs, changedBy });
    this.forget(of.instanceId);
  }

  depart(of: LogRecord, kind: string, atMs: number) {
    const known = this.known.get(of.instanceId);
    if (known && (known.record.type !== of.type || known.record.group !== of.group)) return;
    this.known.delete(of.instanceId);
    this.forget(of.instanceId);
    this.departed.push({ id: of.instanceId, atMs, kind });
  }

  advance(watermarkMs: number, graceMs: number) {
    // Set back: nothing ends later than one ttl from now.
    if (watermarkMs < this.watermarkMs - 1000) for (const known of this.known.values()) known.scoreMs = Math.min(known.scoreMs, watermarkMs + known.record.ttlMs);
    Object.assign(this, { watermarkMs, graceMs });
    this.departed = this.departed.filter(({ atMs }) => atMs + OFFLINE_MS > watermarkMs);
  }

  private forget(id: string) {
    this.departed = this.departed.filter((one) => one.id !== id);
  }
}

const id = fc.constantFrom('i', 'i-1', 'i.1', 'j', 'K');
const home = fc.constantFrom(...HOMES);
const ttlSeconds = fc.constantFrom(1, 2, 10, 30, 3600);
const content = fc.record({ status: fc.constantFrom('ready' as const, 'error' as const), cordoned: fc.boolean() });
const is = <T extends string>(verb: T) => fc.constant(verb);
const op = fc.oneof(
  { weight: 6, arbitrary: fc.record({ verb: is('register'), id, home, ttlSeconds, content }) },
  { weight: 2, arbitrary: fc.record({ verb: is('load'), id, home, ttlSeconds, content, scoreAfterMs: fc.integer({ min: -5000, max: 40_000 }) }) },
  { weight: 3, arbitrary: fc.record({ verb: is('update'), id, content }) },
  { weight: 3, arbitrary: fc.record({ verb: fc.constantFrom('removed' as const, 'expired' as const), id, leftover: fc.option(home) }) },
  { weight: 2, arbitrary: fc.record({ verb: fc.constantFrom('held' as const, 'unknown' as const), id, home }) },
  { weight: 2, arbitrary: fc.record({ verb: is('repeat'), which: fc.nat() }) },
  { weight: 5, arbitrary: fc.record({ verb: is('renew'), ids: fc.array(id, { minLength: 1, maxLength: 4 }), agoMs: fc.constantFrom(0, 5, 2500) }) },
  { weight: 2, arbitrary: fc.record({ verb: is('rescore'), id, scoreAfterMs: fc.integer({ min: -5000, max: 40_000 }) }) },
  { weight: 8, arbitrary: fc.record({ verb: is('pass'), ms: fc.oneof(fc.integer({ min: 0, max: 60 }), fc.integer({ min: 0, max: 12_000 }), fc.integer({ min: HOUR / 2, max: 5 * HOUR })) }) },
  { weight: 2, arbitrary: fc.record({ verb: is('grace'), agoMs: fc.integer({ min: 0, max: 3000 }) }) },
  { weight: 1, arbitrary: fc.record({ verb: is('set-back') }) },
);
type Op = typeof op extends fc.Arbitrary<infer T> ? T : never;

/** One table and its plain twin, fed alike. */
class Pair {
  readonly table = new Table({ epoch: EPOCH, id: '' }, OFFLINE_MS);
  readonly naive = new Naive();
  readonly #log: Change[] = [];
  #nowMs = T0;
  #lastMs = T0;
  #seq = 0;

  run(step: Op) {
    this.table.news.homes.clear();
    const before = this.picture();
    this.#do(step);
    this.table.advance(this.#nowMs, this.naive.graceMs);
    this.naive.advance(this.#nowMs, this.naive.graceMs);
    const after = this.picture();
    for (const key of new Set([...before.keys(), ...after.keys()])) {
      if ((before.get(key) ?? '') !== (after.get(key) ?? '')) expect(this.table.news.homes, `${key} changed`).toContain(key);
    }
  }

  /** What is visible in each home. */
  picture() {
    return new Map([...this.table.groups].map((group) => [`${group.type}:${group.group}`, [...group.members()].map(({ record: { instanceId, head } }) => instanceId + head).join()]));
  }

  #do(step: Op) {
    const { table, naive } = this;
    // eslint-disable-next-line @typescript-eslint/switch-exhaustiveness-check -- the others are in the next function
    switch (step.verb) {
      case 'register': {
        const at = this.#next();
        const from = naive.known.get(step.id)?.record;
        const registered = record({ instanceId: step.id, ...step.home, ttlSeconds: step.ttlSeconds, ...step.content, bornMs: this.#nowMs });
        naive.put(registered, registered.expiresAtMs, at);
        return this.#apply(change(at, 'registered', registered, from && { from: { type: from.type, group: from.group } }));
      }
      case 'load': {
        const loaded = record({ instanceId: step.id, ...step.home, ttlSeconds: step.ttlSeconds, ...step.content, bornMs: this.#nowMs });
        const [at, scoreMs] = [this.#next(), this.#nowMs + step.scoreAfterMs];
        naive.put(loaded, scoreMs, at);
        return table.load(loaded, scoreMs, at);
      }
      case 'update': {
        const known = naive.known.get(step.id);
        if (!known) return;
        const { type, group, ttlMs, registeredAtMs, renewedAtMs } = known.record;
        const updated = record({ instanceId: step.id, type, group, ttlSeconds: ttlMs / 1000, ...step.content, bornMs: registeredAtMs, renewedMs: renewedAtMs });
        const at = this.#next();
        naive.put(updated, updated.expiresAtMs, at);
        return this.#apply(change(at, 'updated', updated));
      }
      case 'removed':
      case 'expired': {
        const gone = step.leftover ? record({ instanceId: step.id, ...step.leftover }) : naive.known.get(step.id)?.record;
        if (!gone) return;
        const at = this.#next();
        naive.depart(gone, step.verb, this.#lastMs);
        return this.#apply(change(at, step.verb, gone));
      }
      case 'held':
      case 'unknown':
        return this.#apply(change(this.#next(), step.verb === 'held' ? 'held' : undefined, record({ instanceId: step.id, ...step.home, bornMs: this.#nowMs })));
      default:
        return this.#moveOn(step);
    }
  }

  #moveOn(step: Exclude<Op, { verb: 'register' | 'load' | 'update' | 'removed' | 'expired' | 'held' | 'unknown' }>) {
    const { table, naive } = this;
    switch (step.verb) {
      case 'repeat': {
        const old = this.#log[step.which % (this.#log.length || 1)];
        // Only what a load may have read in this state or a later one: of instances that stand.
        if (old && naive.known.has(old.record.instanceId)) table.apply(old);
        return;
      }
      case 'renew': {
        const at = this.#nowMs - step.agoMs;
        for (const known of step.ids.map((one) => naive.known.get(one))) {
          // One registered ahead of the watermark was registered before the clock was set back.
          const ahead = known !== undefined && known.record.registeredAtMs > naive.watermarkMs + 1000;
          if (known && (at >= known.record.registeredAtMs || ahead)) known.scoreMs = Math.max(known.scoreMs, at + known.record.ttlMs);
        }
        return table.renew(step.ids, undefined, at);
      }
      case 'rescore': {
        const known = naive.known.get(step.id);
        if (known) known.scoreMs = Math.max(known.scoreMs, this.#nowMs + step.scoreAfterMs);
        return table.rescore(step.id, this.#nowMs + step.scoreAfterMs);
      }
      case 'pass':
        this.#nowMs += step.ms;
        return;
      case 'grace':
        naive.graceMs = this.#nowMs - step.agoMs;
        return;
      case 'set-back':
        this.#nowMs -= HOUR;
        naive.graceMs = Math.min(naive.graceMs, this.#nowMs); // as lua/include/grace.lua does
    }
  }

  /** Entry ids never step back, whatever the clock does. */
  #next() {
    this.#lastMs = Math.max(this.#lastMs, this.#nowMs);
    return idAt(this.#lastMs, ++this.#seq);
  }

  #apply(entry: Change) {
    this.#log.push(entry);
    this.table.apply(entry);
  }
}

const compare = (one: string, other: string) => (one < other ? -1 : one > other ? 1 : 0);

function expectAlike({ table, naive }: Pair) {
  const inUse = HOMES.filter((one) => naive.ids(one, true).length + naive.ids(one, false).length > 0);
  const expectedHomes = inUse.sort((a, b) => compare(a.type, b.type) || compare(a.group, b.group));
  expect([...table.groups].map(({ type, group }) => ({ type, group })), 'groups in order').toEqual(expectedHomes);
  for (const group of table.groups) {
    expect(table.groups.get(group)).toBe(group);
    const shown = [...group.members()];
    expect(shown.map((member) => member.record.instanceId), 'visible, in order').toEqual(naive.ids(group, true));
    expect([...group.lapsed].map((member) => member.record.instanceId).sort(), 'lapsed').toEqual(naive.ids(group, false));
    const tags = new TagSum();
    const visible = naive.ids(group, true).map((one) => naive.known.get(one) as Known);
    visible.forEach(({ record: { tag } }) => tags.add(tag));
    expect(group.tags.etag, 'tag').toBe(tags.etag);
    const { instances, cordoned, statuses } = group.count(0);
    const ready = visible.filter(({ record: { status } }) => status === 'ready').length;
    expect({ instances, cordoned, ready: statuses.ready, error: statuses.error }).toEqual({
      instances: visible.length, cordoned: visible.filter((one) => one.record.cordoned).length, ready, error: visible.length - ready,
    });
    for (const member of shown) {
      expect(member.expiresAtMs, 'nobody is shown past the end').toBeGreaterThan(table.watermarkMs);
      expect(instanceJson(member.record, member)).toContain(`"expiresAt":"${new Date(naive.endOf(naive.known.get(member.record.instanceId) as Known)).toISOString()}"`);
    }
    for (const member of group.lapsed) expect(member.expiresAtMs, 'nobody leaves before the end').toBeLessThanOrEqual(table.watermarkMs);
  }
  expect(table.members.size).toBe(naive.known.size);
  expect([...table.departed].map(({ change: { record: { instanceId } }, kind, atMs }) => ({ id: instanceId, atMs, kind }))).toEqual(naive.departed);
}

test('after any sequence of changes, heartbeats, graces and jumps of the clock a table shows exactly whose lease has not ended', () => {
  fc.assert(
    fc.property(fc.array(op, { minLength: 1, maxLength: 60 }), (steps) => {
      const pair = new Pair();
      for (const step of steps) {
        pair.run(step);
        expectAlike(pair);
      }
    }),
    { numRuns: 400 },
  );
});

const put = (table: Table, at: string, of: LogRecord) => table.apply(change(at, 'registered', of));
const visible = (table: Table) => [...table.groups].flatMap((group) => [...group.members()].map((member) => member.record.instanceId));

test('a lease ends at its very millisecond, not the one before', () => {
  const table = new Table({ epoch: EPOCH, id: '' }, OFFLINE_MS);
  for (let i = 0; i < 30; i++) put(table, idAt(T0 + i), record({ instanceId: `i-${i}`, bornMs: T0 + i }));
  for (let i = 0; i < 30; i++) {
    table.advance(T0 + 30_000 + i - 1, 0);
    expect(visible(table)).toHaveLength(30 - i);
    table.advance(T0 + 30_000 + i, 0);
    expect(visible(table)).toHaveLength(29 - i);
  }
});

test('who had lapsed is shown again when the clock of the store is set back behind the end of the lease', () => {
  const table = new Table({ epoch: EPOCH, id: '' }, OFFLINE_MS);
  put(table, idAt(T0), record());
  table.advance(T0 + 31_000, 0);
  expect(visible(table)).toEqual([]);
  table.advance(T0 + 31_000 - HOUR, 0);
  expect(visible(table), 'as a table shows it that is loaded now').toEqual(['a']);
});

test('a table that is being read takes the beats of who registered before the clock of the store was set back', () => {
  const table = new Table({ epoch: EPOCH, id: '' }, OFFLINE_MS);
  const ahead = record({ bornMs: T0 + HOUR });
  table.noteTime(T0);
  table.load(ahead, T0 + 1000, idAt(T0 + HOUR)); // its last beat but one was after that
  table.noteTime(T0 + 900);
  table.renew(['a'], undefined, T0 + 900);
  while (!table.advance(T0 + 1500, 0));
  expect(visible(table)).toEqual(['a']);
});

test('who registers after the clock of the store was set back is shown at once, and who was there before keeps its place', () => {
  const table = new Table({ epoch: EPOCH, id: '' }, OFFLINE_MS);
  put(table, idAt(T0 + HOUR), record({ instanceId: 'before', bornMs: T0 + HOUR }));
  table.advance(T0 + HOUR, 0);
  table.noteTime(T0 + HOUR - 500); // a step that is none
  expect(table.watermarkMs).toBe(T0 + HOUR);
  table.noteTime(T0);
  expect(table.watermarkMs).toBe(T0);
  put(table, idAt(T0 + HOUR + 1), record({ instanceId: 'later', bornMs: T0 }));
  expect(visible(table)).toEqual(['before', 'later']);
  while (!table.advance(T0 + 20_000, 0));
  expect(visible(table)).toEqual(['before', 'later']);
  expect(table.members.get('before')?.expiresAtMs).toBeLessThanOrEqual(T0 + 50_000);
});

test('performance that a beat brought does not replace what a later registration said', () => {
  const table = new Table({ epoch: EPOCH, id: '' }, OFFLINE_MS);
  put(table, idAt(T0), record());
  // One read brings both: changes are applied before beats, whichever came first.
  table.apply(change(idAt(T0 + 2000), 'updated', record({ hostname: 'other.example.com', performance: { tps: 60 }, renewedMs: T0 + 2000 })));
  table.renew(['a'], ['{"tps":1}'], T0 + 1000);
  expect(table.members.get('a')).toMatchObject({ performance: '{"tps":60}', renewedAtMs: T0 + 2000, scoreMs: T0 + 32_000 });
});

test('a beat from before a registration does not lengthen the lease of the new incarnation', () => {
  const table = new Table({ epoch: EPOCH, id: '' }, OFFLINE_MS);
  put(table, idAt(T0 + 10), record({ bornMs: T0 + 10, ttlSeconds: 1 }));
  table.renew(['a', 'nobody'], ['{"tps":1}', '{}'], T0 + 9);
  expect(table.members.get('a')).toMatchObject({ scoreMs: T0 + 1010, performance: undefined });
  expect(table.members.has('nobody')).toBe(false);
});

test('performance is collected only while somebody asks for it', () => {
  const table = new Table({ epoch: EPOCH, id: '' }, OFFLINE_MS);
  put(table, idAt(T0), record());
  table.renew(['a'], ['{"tps":1}'], T0 + 1);
  expect(table.performing.size).toBe(0);
  table.collectPerformance = true;
  table.renew(['a'], [''], T0 + 2);
  expect(table.performing.size).toBe(0);
  table.renew(['a'], ['{"tps":2}'], T0 + 3);
  expect([...table.performing].map(({ performance }) => performance)).toEqual(['{"tps":2}']);
});

test('heartbeats change no version, no tag and no home, however many come', () => {
  const table = new Table({ epoch: EPOCH, id: '' }, OFFLINE_MS);
  put(table, idAt(T0), record());
  const { version } = table;
  const etag = [...table.groups][0]?.tags.etag;
  table.news.homes.clear();
  for (let ms = 0; ms < 100_000; ms += 100) {
    table.renew(['a'], [`{"tps":${ms}}`], T0 + ms);
    table.advance(T0 + ms, 0);
  }
  expect([table.version, [...table.groups][0]?.tags.etag, table.news.homes.size]).toEqual([version, etag, 0]);
});

test('an instance that is updated again and again leaves nothing behind in memory before its lease ends', () => {
  const table = new Table({ epoch: EPOCH, id: '' }, OFFLINE_MS);
  const before = heapMb();
  // A hundred updates a second for a quarter of an hour, with the longest lease that may be asked for.
  for (let i = 0; i < 90_000; i++) {
    const at = T0 + i * 10;
    table.apply(change(idAt(at), 'updated', record({ customState: `${i}`, ttlSeconds: 3600, renewedMs: at })));
    if (i % 100 === 0) table.advance(at, 0);
  }
  expect(heapMb() - before, 'MB').toBeLessThan(10);
  expect(table.members.size).toBe(1);
});

test('a performance does not keep the text of the whole batch that it came with', () => {
  const table = new Table({ epoch: EPOCH, id: '' }, OFFLINE_MS);
  for (let i = 0; i < 40; i++) table.apply(change(idAt(T0 + i), 'registered', record({ instanceId: `i-${i}` })));
  const before = heapMb();
  for (let i = 0; i < 40; i++) {
    const batch = Array.from({ length: 250 }, (_, n) => JSON.stringify({ n, tps: 60, text: 'x'.repeat(900) })).join('\n');
    table.renew([`i-${i}`], batch.split('\n'), T0 + 100 + i);
  }
  expect(heapMb() - before).toBeLessThan(2);
  expect(table.members.get('i-39')?.performance).toContain('"tps":60');
});

test('a registration in another home says where the instance was, although the store that lost it does not', () => {
  const table = new Table({ epoch: EPOCH, id: '' }, OFFLINE_MS);
  table.apply(change(idAt(T0), 'registered', record({ group: 'g-1' })));
  const moved = change(idAt(T0 + 1), 'registered', record({ group: 'g-9' }));
  table.apply(moved);
  expect(moved.from).toEqual({ type: record().type, group: 'g-1' });
  const restored = change(idAt(T0 + 2), 'restored', record({ group: 'g-1' }), { of: idAt(T0 + 2) });
  table.apply(restored);
  expect(restored.from).toEqual({ type: record().type, group: 'g-9' });
});

test('a grace, a short outage and a clock that is set back give leases another end 5,000 at a time, and the watermark waits for the last', () => {
  const table = new Table({ epoch: EPOCH, id: '' }, OFFLINE_MS);
  const count = 3 * REPLANNED_AT_ONCE - 1;
  for (let i = 0; i < count; i++) table.load(record({ instanceId: `i-${i}`, ttlSeconds: 5 }), T0 + 5000, '');
  const ends = () => [...table.members.values()].filter(({ expiresAtMs }) => expiresAtMs === T0 + 5000).length;
  /** Calls again until it is done. What was given another end by each call. */
  const turns = (...[watermarkMs, graceMs, lullMs]: [number, number, number]) => {
    const parts: number[] = [];
    for (let [done, left] = [false, ends()]; !done; left = ends()) {
      const before = table.watermarkMs;
      done = table.advance(watermarkMs + parts.length, graceMs, lullMs);
      if (!done && watermarkMs > before) expect(table.watermarkMs).toBe(before);
      parts.push(Math.abs(left - ends()));
    }
    expect(table.watermarkMs).toBe(watermarkMs + parts.length - 1);
    return parts;
  };
  const IN_TURNS = [REPLANNED_AT_ONCE, REPLANNED_AT_ONCE, REPLANNED_AT_ONCE - 1];
  expect(turns(T0, 0, 0)).toEqual([0]);
  expect(turns(T0 + 6000, T0 + 2000, 0)).toEqual([...IN_TURNS, 0, 0]); // past the old end, before the new: all are looked at, in as many turns
  expect([...table.groups][0]?.size).toBe(count);
  expect(turns(T0 + 6500, T0, 0)).toEqual([...IN_TURNS, 0, 0]); // and all lapse
  expect([...table.groups][0]?.size).toBe(0);
  expect(turns(T0 + 7000, T0, T0 + 3000)).toEqual(IN_TURNS);
  expect([...table.groups][0]?.size).toBe(count);
  expect(turns(T0 + 2000, T0, T0)).toEqual(IN_TURNS);
  expect(turns(T0 - 3000, 0, 0)).toEqual(IN_TURNS);
});
