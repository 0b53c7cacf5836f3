import type { Memory } from '../../registry/view/memory.js';
import type { Change } from '../../registry/log/change.js';
import type { View } from '../../registry/view/view.js';
import type { LogBreak, LogTail, Read } from '../log/log-tail.js';
import { inSlices } from '../log/slices.js';
import type { Divergence } from './divergence.js';
import { isAdopted, type Stage } from './stage.js';

/** Takes what was read of the log into a memory, in order and in slices, and tells those who look at the view. */
export class Intake {
  constructor(
    private readonly tail: LogTail,
    private readonly divergence: Divergence,
    private readonly view: View,
    private readonly onChange: (change: Change) => void,
  ) {}

  /** As far as the log goes on from what was read before; how it is broken, where it does not. */
  async take({ pulse, events, beats, more }: Read, memory: Memory, stage: Stage): Promise<LogBreak | undefined> {
    const { table } = memory;
    table.noteTime(pulse.nowMs);
    if (more.events) this.view.freshness.doubt();
    const adopted = isAdopted(stage); // who is told of a newly adopted table is told all of it
    // In the same breath as the changes were applied: a snapshot taken in between would hold what is then told again.
    for await (const some of inSlices(events)) {
      const { changes, broken } = this.tail.take(some, pulse.epoch);
      for (const change of changes) this.#apply(change, memory, stage);
      if (adopted) this.view.settle(changes);
      if (broken) return broken;
    }
    // Events come before beats: with some of them still to be read, a beat could be for an instance not known yet.
    if (!more.events) for await (const some of inSlices(beats)) this.divergence.beaten(this.tail.takeBeats(some, table));
    return undefined;
  }

  #apply(change: Change, memory: Memory, stage: Stage) {
    memory.apply(change);
    if (stage === 'following') this.divergence.applied(change.id, memory.table);
    this.onChange(change);
  }
}
