import { setTimeout as sleep } from 'node:timers/promises';
import type { Change } from '../log/change.js';
import type { WatchQuery } from '../queries.js';
import { compareIds, parseRevision, type Position } from '../revision.js';
import type { Topic } from '../watch/topic.js';
import type { View } from './view.js';
import type { Sink } from '../watch/frames.js';
import { STUCK_MS, type Start } from '../watch/watcher.js';

const RETRY_MS = 1000;
/** Looking at a change of the ring takes as long as writing this many bytes. */
const LOOK_BYTES = 50;
/** Who goes on from the ring is served in its turn: by then so many changes may have come, and must not have dropped its place. */
const MAY_COME_FIRST = 2000;

/** What a watcher may need of the store, which the view by itself never asks. */
export interface LogSource {
  /** Resolves once the view has everything that was acknowledged before this call. Rejects when the store does not answer. */
  catchUp: () => Promise<void>;
  /** What a watcher of this query missed after this position, among a few hundred entries of which `last` is the last; undefined when the log does not go on from it any more. */
  changesAfter: (position: Position, query: WatchQuery) => Promise<{ changes: Change[]; last: string } | undefined>;
}

/**
 * Begins a watch: a snapshot, or what came after `from` on any replica. Resolves when it goes on by itself. Whatever `from`
 * says, a watcher is never turned away for it.
 * @throws {RegistryError} store_unavailable, before anything is written, while the view cannot answer.
 */
export async function beginWatch(view: View, log: LogSource, query: WatchQuery, from: string | undefined, sink: Sink): Promise<void> {
  const topic = view.hub.topic(query);
  const begun = { view, log, topic, sink };
  void view.revision; // insists that it can answer
  sink.write(topic.frames.opening());
  if (from === undefined) return join(begun, (joined) => view.hub.snapshot(joined));
  const position = parseRevision(from);
  const reason = position ? await resume(begun, position) : 'not a position of this API';
  if (reason === undefined || sink.closed) return;
  join(begun, (joined) => view.hub.snapshot(joined, [topic.frames.reset(reason)]));
}

interface Begun {
  view: View;
  log: LogSource;
  topic: Topic;
  sink: Sink;
}

function join({ view, topic, sink }: Begun, start: (topic: Topic) => Start | undefined) {
  const joined = view.hub.join(topic.query, sink);
  if (!joined) return sink.end(topic.frames.farewell());
  sink.onClose(() => view.hub.leave(joined.watcher));
  joined.watcher.begin(() => start(joined.topic));
}

/** What the ring holds behind this position. Undefined when it has moved past it since, or is another: who comes back finds it in the store. */
function backlog({ view }: Begun, { epoch, id }: Position, topic: Topic): Start | undefined {
  if (!view.serving || view.table.position.epoch !== epoch) return undefined;
  const { table: { position }, ring } = view;
  const number = id === position.id ? ring.next : ring.after(id);
  return number === undefined ? undefined : { prelude: topic.backlog(ring, number), cursor: topic.end, told: position.id, cost: LOOK_BYTES * (ring.next - number) };
}

/** Goes on from a position. Resolves to why that is not possible, or to undefined when it is done. */
async function resume(begun: Begun, { epoch, id }: Position): Promise<string | undefined> {
  const { view, log, topic, sink } = begun;
  for (let at = id; !sink.closed; ) {
    await reach(begun, { epoch, id: at });
    const { position } = view.table;
    if (position.epoch !== epoch) return 'the position is of another epoch';
    if (compareIds(at, position.id) > 0) return 'the position has never been';
    const number = at === position.id ? view.ring.next : view.ring.after(at);
    const goOn = () => {
      const place = { epoch, id: at };
      join(begun, (joined) => backlog(begun, place, joined));
      return undefined;
    };
    if (number !== undefined && view.ring.left(number) >= MAY_COME_FIRST) return goOn();
    const missed = await insist(begun, () => log.changesAfter({ epoch, id: at }, topic.query));
    if (!missed) return number === undefined ? 'the log no longer goes back to the position' : goOn();
    for (const change of missed.changes) {
      const frame = topic.frameOf(change);
      if (frame && !sink.write(frame)) await drained(begun);
    }
    at = missed.last;
  }
  return undefined;
}

/** A position that another replica gave may be ahead of this one: nothing is decided before this one has caught up. */
async function reach(begun: Begun, wanted: Position) {
  const { position } = begun.view.table;
  if (position.epoch !== wanted.epoch || compareIds(wanted.id, position.id) > 0) await insist(begun, begun.log.catchUp);
}

/** Asks the store until it answers, or the watcher has gone. */
async function insist<T>({ topic, sink }: Begun, ask: () => Promise<T>): Promise<T | undefined> {
  while (!sink.closed) {
    try {
      return await ask();
    } catch {
      sink.write(topic.frames.keepAlive);
      await sleep(RETRY_MS);
    }
  }
  return undefined;
}

/** Waits until the sink takes more; one that does not is ended. */
async function drained({ view, sink }: Begun) {
  const stuck = setTimeout(() => view.hub.giveUp(sink), STUCK_MS);
  await new Promise<void>((resume) => sink.onDrain(resume));
  clearTimeout(stuck);
}
