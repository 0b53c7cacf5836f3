import { setTimeout as sleep } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import { keys } from '../bed.js';
import type { History } from './history.js';

const EVERY_MS = 20;

type Entries = [string, string[]][];

/** Writes down what Redis itself says: its log, also what it loses later, its epochs and its graces. */
export class Scribe {
  #stopped = false;
  #last = '0-0';
  #epoch = '';
  #grace = '';
  #lull = '';
  readonly #seen = new Set<string>();
  readonly #running: Promise<void>;

  constructor(
    private readonly raw: Redis,
    private readonly history: History,
  ) {
    this.#running = this.#run();
  }

  async stop() {
    this.#stopped = true;
    await this.#running;
  }

  async #run() {
    while (!this.#stopped) {
      await this.#look().catch(() => undefined);
      await sleep(EVERY_MS);
    }
  }

  async #look() {
    const all = await this.raw.multi().hmget(keys.epoch, 'id', 'lull').get(keys.grace).xread('STREAMS', keys.events, this.#last).exec();
    const [[epoch, lull], grace, read] = (all ?? []).map(([, reply]) => reply) as [[string | null, string | null], string | null, [string, Entries][] | null];
    const at = Date.now();
    const isNew = epoch !== null && epoch !== this.#epoch;
    if (isNew) this.history.add({ t: 'epoch', at, value: (this.#epoch = epoch) });
    if (grace !== null && grace !== this.#grace) this.history.add({ t: 'grace', at, value: (this.#grace = grace) });
    if (lull !== null && lull !== this.#lull) this.history.add({ t: 'lull', at, value: (this.#lull = lull) });
    // Another log may begin anywhere, where the clock was set back also before what was read.
    const entries = isNew ? await this.raw.xrange(keys.events, '-', '+') : (read?.[0]?.[1] ?? []);
    for (const [entry, flat] of entries) this.#note(at, entry, flat);
    this.#last = entries.at(-1)?.[0] ?? this.#last;
  }

  #note(at: number, entry: string, flat: string[]) {
    if (this.#seen.has(entry)) return;
    this.#seen.add(entry);
    const fields = Object.fromEntries(flat.flatMap((field, i) => (i % 2 === 0 ? [[field, flat[i + 1] ?? '']] : []))) as Record<string, string>;
    const { kind = '', cause = '', instanceId: id = '', incarnation: inc = '', group = '', fromGroup, replaces, until, deadline } = fields;
    this.history.add({ t: 'entry', at, epoch: this.#epoch, entry, kind, cause, id, inc, group, ...(fromGroup && { fromGroup }), ...(replaces && { replaces }), ...(until && { until }), ...(deadline && { deadline }) });
  }
}
