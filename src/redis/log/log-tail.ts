import type { Change } from '../../registry/log/change.js';
import type { Table } from '../../registry/table/table.js';
import { decodeBeats, decodeChange, type Entry } from './log-entry.js';
import { decodePulse, takePulse, type Pulse } from './pulse.js';
import { isNoScript } from '../scripts/scripts.js';
import { lettersOf } from './slices.js';
import type { Source } from '../scripts/store.js';

/** Where a reader stands in the two streams. */
export interface Places {
  /** The last entry of the log that belongs to the chain. */
  chain: string;
  /** The last entry of the log that was read, whoever wrote it. */
  events: string;
  beats: string;
}

/** Entries of each stream taken at once, unless they have been large. */
const COUNT = 500;
/** Letters of one read, by the largest entry of late: what Redis and this process have to hold at once. */
const LETTERS = 4 * 1024 * 1024;

/** How much of the largest entry is remembered from one read to the next. */
const FORGETS = 0.9;

/** How it shows that the log is not the continuation of what was read: it says so itself, by another epoch, or its chain has a gap. */
export type LogBreak = 'epoch' | 'chain';

/** One read of both streams. */
export interface Read {
  /** When Redis was asked, on this process's monotonic clock: what it said is as old as that, however late it came. */
  askedAt: number;
  pulse: Pulse;
  events: Entry[];
  beats: Entry[];
  /** There is more to be read at once. */
  more: { events: boolean; beats: boolean };
}

/** The end of both streams, from where a reader stands. */
export class LogTail {
  places: Places = { chain: '', events: '0-0', beats: '0-0' };
  /** Letters of the largest entry of late. */
  #largest = 0;

  constructor(private readonly source: Source) {}

  /** `said` is for the other replicas. The pulse, and what came since the last read; undefined when Redis had to be given the script first. */
  read(said = ''): Promise<Read | undefined> {
    const reading = this.#read(said);
    reading.catch(() => undefined); // told to whoever awaits it, which may be later
    return reading;
  }

  async #read(said: string): Promise<Read | undefined> {
    const { connection, keys, scripts } = this.source;
    const askedAt = performance.now();
    const pipeline = connection.pipeline();
    pipeline.evalsha(...scripts.command('pulse', ['', said], 'sha'));
    const count = Math.max(1, Math.min(COUNT, Math.floor(LETTERS / Math.max(1, this.#largest))));
    pipeline.xread('COUNT', count, 'STREAMS', keys.events, keys.beats, this.places.events, this.places.beats);
    const [[pulseError, pulse] = [new Error('no reply')], [readError, streams] = [new Error('no reply')]] = (await pipeline.exec()) ?? [];
    if (isNoScript(pulseError)) {
      await takePulse(connection, scripts);
      return undefined;
    }
    if (pulseError ?? readError) throw (pulseError ?? readError) as Error;
    const byKey = new Map((streams ?? []) as [string, Entry[]][]);
    const [events, beats] = [byKey.get(keys.events) ?? [], byKey.get(keys.beats) ?? []];
    this.#largest = Math.max(this.#largest * FORGETS, ...events.map(lettersOf), ...beats.map(lettersOf));
    return { askedAt, pulse: decodePulse(pulse), events, beats, more: { events: events.length === count, beats: beats.length === count } };
  }

  /** What a read says of the log as a whole, for who has read this epoch. Where nothing came, nothing may be missing. */
  breakIn({ events, pulse }: Read, epoch: string): LogBreak | undefined {
    if (pulse.epoch !== epoch) return 'epoch';
    return events.length === 0 && pulse.head !== this.places.chain ? 'chain' : undefined;
  }

  /** Decodes events, up to the first that does not name the one before it. */
  take(events: Entry[], epoch: string): { changes: Change[]; broken: LogBreak | undefined } {
    const changes: Change[] = [];
    for (const entry of events) {
      const change = decodeChange(entry, epoch);
      if (change) {
        if (change.prev !== this.places.chain) return { changes, broken: 'chain' };
        this.places.chain = change.id;
        changes.push(change);
      }
      this.places.events = entry[0];
    }
    return { changes, broken: undefined };
  }

  /** Returns the ids that the table does not know. */
  takeBeats(beats: Entry[], table: Table): string[] {
    const unknown: string[] = [];
    for (const entry of beats) {
      const { ids, performances, atMs } = decodeBeats(entry);
      table.renew(ids, performances, atMs);
      this.places.beats = entry[0];
      for (const id of ids) if (!table.members.has(id)) unknown.push(id);
    }
    return unknown;
  }
}
