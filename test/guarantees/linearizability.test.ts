import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { check, instanceModel, type InstanceInput, type InstanceOutput, type Operation } from '../helpers/linearizable.js';
import { bound, report } from '../helpers/bounds.js';
import { Client, NoAnswer, pick, type Call, type Reply } from './helpers/client.js';
import { startFaults, startKiller, startSlowFleet, type SlowFleet } from './helpers/slow-fleet.js';

const CLIENTS = 8;
const IDS = Array.from({ length: 20 }, (_, i) => `id-${i}`);
const LIVES = Array.from({ length: 6 }, (_, i) => `life-${i}`);
const GROUP = { type: 'game', group: 'one' };
const PAUSE_MS = bound(8, 12);
const RUN_MS = bound(4000, 60_000);
/** Nobody's lease ends meanwhile. */
const TTL_SECONDS = 600;
/** Longer than a replica waits for Redis: it answers 503, and what it sent happens all the same, or has happened. */
const SPIKE_MS = 1300;

type Op = Operation<InstanceInput, InstanceOutput>;
type Outcome = { output: InstanceOutput | undefined };

let fleet: SlowFleet;
beforeAll(async () => {
  fleet = await startSlowFleet();
}, 60_000);
afterAll(() => fleet?.stop());

/** What each client did with each id, by the clock of this process. */
class Recorder {
  readonly byId = new Map<string, Op[]>(IDS.map((id) => [id, []]));
  readonly counts = { known: 0, unknown: 0, unsent: 0, unexpected: [] as string[] };

  /** An answer that is none of the verb's own means that nobody knows what happened. */
  add(id: string, op: Omit<Op, 'return' | 'output'>, { output }: Outcome) {
    this.counts[output === undefined ? 'unknown' : 'known']++;
    this.byId.get(id)?.push({ ...op, return: output === undefined ? Infinity : performance.now(), output });
  }
}

function requestOf(id: string, input: Exclude<InstanceInput, { verb: 'discover' }>): [path: string, call: Call] {
  const { incarnation } = input;
  if (input.verb === 'register') {
    return ['/instances', { method: 'POST', body: { instanceId: id, incarnation, ...GROUP, hostname: 'h.example.com', ttlSeconds: TTL_SECONDS } }];
  }
  if (input.verb === 'remove') return [`/instances/${id}${incarnation === undefined ? '' : `?incarnation=${incarnation}`}`, { method: 'DELETE' }];
  return [`/instances/${id}/heartbeat`, { method: 'POST', body: { ...(incarnation !== undefined && { incarnation }) } }];
}

function inputOf(): InstanceInput {
  const guard = Math.random() < 0.5 ? {} : { incarnation: pick(LIVES) };
  const kind = Math.random();
  if (kind < 0.25) return { verb: 'register', incarnation: pick(LIVES) };
  if (kind < 0.4) return { verb: 'remove', ...guard };
  if (kind < 0.65) return { verb: 'heartbeat', ...guard };
  return { verb: 'discover' };
}

const ANSWERS = { register: [200, 201], heartbeat: [200, 404, 409], remove: [204, 404, 409] };

/** One client: one call at a time, each to whichever replica. */
async function runClient(client: number, recorder: Recorder, until: number) {
  const http = new Client();
  const send = async (path: string, call: Call): Promise<Reply | 'unsent' | 'unknown'> => {
    try {
      return await http.call(pick(fleet.members).replica.url, path, { timeoutMs: 2000, ...call });
    } catch (error) {
      return error instanceof NoAnswer && error.unsent ? 'unsent' : 'unknown';
    }
  };
  const write = async (id: string, input: Exclude<InstanceInput, { verb: 'discover' }>) => {
    const op = { client, call: performance.now(), input };
    const reply = await send(...requestOf(id, input));
    if (reply === 'unsent') return void recorder.counts.unsent++;
    const known = reply !== 'unknown' && (ANSWERS[input.verb].includes(reply.status) || undefined);
    if (reply !== 'unknown' && !known && reply.status !== 503) recorder.counts.unexpected.push(`${input.verb} ${reply.status} ${reply.text}`);
    recorder.add(id, op, { output: known ? (reply.status as InstanceOutput) : undefined });
  };
  const discover = async () => {
    const op = { client, call: performance.now(), input: { verb: 'discover' as const } };
    const reply = await send(`/instances?type=${GROUP.type}&group=${GROUP.group}&consistency=strong`, {});
    if (typeof reply === 'string' || reply.status !== 200) return; // it looked, and saw nothing that it told
    const { instances } = JSON.parse(reply.text) as { instances: { instanceId: string; incarnation: string }[] };
    const found = new Map(instances.map(({ instanceId, incarnation }) => [instanceId, incarnation]));
    for (const id of IDS) {
      const present = found.get(id);
      recorder.add(id, op, { output: present === undefined ? 'absent' : { present } });
    }
  };
  while (performance.now() < until) {
    const input = inputOf();
    await (input.verb === 'discover' ? discover() : write(pick(IDS), input));
    await sleep(Math.random() * 2 * PAUSE_MS);
  }
  http.close();
}

/** For a moment one replica's commands, or their replies, come so late that it gives up on them. */
async function spike(n: number) {
  const { gate } = pick(fleet.members);
  const to = n % 2 === 0 ? 'redis' : 'replica';
  gate.delay((chunk) => (chunk.role === 'commands' && chunk.to === to ? SPIKE_MS : 0));
  await sleep(100);
  gate.delay(() => 0);
}

test('register, heartbeat, remove and strong discover are linearizable while replicas are killed and Redis is slow', async () => {
  const recorder = new Recorder();
  const end = performance.now() + RUN_MS;
  const killer = startKiller(fleet, bound(1500, 5000));
  const spikes = startFaults(bound(1500, 3000), spike);
  await Promise.all(Array.from({ length: CLIENTS }, (_, i) => runClient(i, recorder, end)));
  const [kills, slow] = [await killer.stop(), await spikes.stop()];

  const violations = [...recorder.byId].flatMap(([id, history]) => {
    const verdict = check(history.sort((a, b) => a.call - b.call), instanceModel);
    return verdict.ok ? [] : [{ id, minimal: verdict.minimal }];
  });
  const { known, unknown, unsent, unexpected } = recorder.counts;
  report('T1', { operations: known, unknown, unsent, kills, spikes: slow, violations: violations.length });
  expect(unexpected).toEqual([]);
  expect(violations).toEqual([]);
  expect(known).toBeGreaterThan(bound(1000, 40_000));
  expect(kills).toBeGreaterThanOrEqual(bound(1, 10));
  expect(unknown, 'the faults were felt').toBeGreaterThan(0);
}, RUN_MS + 60_000);
