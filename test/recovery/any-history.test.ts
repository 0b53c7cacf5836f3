import fc from 'fast-check';
import { expect, test } from 'vitest';
import { bound } from '../helpers/bounds.js';
import { CALLER, complete, readStore } from '../helpers/store.js';
import { empty, rollBack, takePicture, type Picture } from './helpers/loss.js';
import { expectSettled, openReplicas, type Replica } from './helpers/replica.js';

const IDS = ['p', 'q', 'r', 's'];
const id = fc.constantFrom(...IDS);
const by = fc.constantFrom(0, 1);
type Step =
  | { do: 'register'; id: string; by: number; life: number; group: string }
  | { do: 'patch' | 'remove' | 'beat'; id: string; by: number; word: string }
  | { do: 'picture' | 'flush' | 'rollBack' | 'read' }
  | { do: 'halt' | 'let in'; by: number };
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 5, arbitrary: fc.record({ do: fc.constant('register' as const), id, by, life: fc.integer({ min: 1, max: 3 }), group: fc.constantFrom('kr-1', 'eu-1') }) },
  { weight: 6, arbitrary: fc.record({ do: fc.constantFrom('patch' as const, 'remove' as const, 'beat' as const), id, by, word: fc.constantFrom('x', 'y', 'z') }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constantFrom('picture' as const, 'flush' as const, 'rollBack' as const, 'read' as const, 'read' as const) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constantFrom('halt' as const, 'let in' as const), by }) },
);

/** What was acknowledged of an instance, as far as it is known: a write that failed may have been done or not. */
interface Known {
  incarnation?: string;
  customState?: string | undefined;
  sure: boolean;
}

async function write(replicas: Replica[], known: Map<string, Known>, one: Step) {
  if (!('id' in one)) return;
  const { registry } = replicas[one.by] as Replica;
  try {
    if (one.do === 'register') {
      await registry.register(complete({ instanceId: one.id, incarnation: `life-${one.life}`, group: one.group }), CALLER);
      known.set(one.id, { incarnation: `life-${one.life}`, customState: undefined, sure: true });
    } else if (one.do === 'remove') {
      known.delete(one.id); // whether or not it comes to something: it may come back for one lease, so nothing is asked of it
      await registry.remove(one.id, {}, CALLER);
    } else if (one.do === 'patch') {
      await registry.patch(one.id, { customState: one.word }, CALLER);
      const before = known.get(one.id);
      if (before) before.customState = one.word;
    } else {
      const [result] = await registry.heartbeat([{ instanceId: one.id, customState: one.word }]);
      const before = known.get(one.id);
      if (result?.status === 200 && before) before.customState = one.word;
      else if (before && result?.status === 503) before.sure = false;
      else if (before?.sure && result?.status === 404) throw new Error(`${one.id} was acknowledged and never removed, and is told to register again`);
    }
  } catch (error) {
    const { code } = error as { code?: string };
    if (code === undefined) throw error;
    if (code === 'store_unavailable') known.set(one.id, { sure: false });
  }
}

async function run(steps: Step[]) {
  const { replicas, raw, keys } = await openReplicas(2);
  const known = new Map<string, Known>();
  const halted = new Set<number>();
  let picture: Picture | undefined;
  const letIn = (i: number) => {
    const { gate } = replicas[i] as Replica;
    gate.cut();
    gate.mend();
    halted.delete(i);
  };
  for (const one of steps) {
    if (one.do === 'halt') {
      (replicas[one.by] as Replica).gate.halt();
      halted.add(one.by);
    } else if (one.do === 'let in') letIn(one.by);
    else if (one.do === 'picture') picture = await takePicture(raw, keys);
    else if (one.do === 'read') {
      if (halted.size === 0) await expectSettled(raw, keys, replicas);
    } else if (one.do === 'flush' || (one.do === 'rollBack' && picture)) {
      if (one.do === 'flush') await empty(raw, keys);
      else await rollBack(raw, keys, picture as Picture);
      // Nobody is cut off for so long that it has to keep silent: what it alone knows would be lost, as it may be.
      for (const i of [...halted]) letIn(i);
    } else await write(replicas, known, one);
  }
  for (const i of [...halted]) letIn(i);
  await expectSettled(raw, keys, replicas, 15_000);
  const { records } = await readStore(raw, keys);
  for (const [instanceId, { sure, incarnation, customState }] of known) {
    if (!sure) continue;
    expect(records.get(instanceId), `${instanceId} is there`).toMatchObject({ incarnation });
    expect(records.get(instanceId)?.customState, `customState of ${instanceId}`).toBe(customState);
  }
  for (const { close } of replicas) await close();
  raw.disconnect();
}

test('whatever is written through two replicas, and whenever Redis loses something of it: all views and Redis agree, and what was acknowledged is there', async () => {
  await fc.assert(fc.asyncProperty(fc.array(step, { minLength: 6, maxLength: 25 }), run), { numRuns: bound(12, 100), interruptAfterTimeLimit: bound(60_000, 400_000), endOnFailure: true });
}, bound(90_000, 420_000));
