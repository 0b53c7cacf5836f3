/** An entry of the events stream, the ground truth. Fields of the stream's own entries may stand here as they are. */
export interface StreamEntry {
  /** `<epoch>.<ms>-<seq>` */
  revision: string;
  kind: string;
  instanceId?: string | undefined;
  type?: string | undefined;
  group?: string | undefined;
  fromType?: string | undefined;
  fromGroup?: string | undefined;
  /** Empty or absent in the first: then the list is the whole stream, and snapshots can be judged by it. */
  prev?: string | undefined;
}

export interface WatchLogOptions {
  /** What the watch asked for. */
  type?: string;
  group?: string;
  /** Where the log begins, if not with a snapshot. */
  lastEventId?: string;
  /** Leases may lapse meanwhile: a snapshot may then lack an instance whose `expired` is still to come. */
  lapses?: boolean;
}

export interface Position {
  epoch: string;
  ms: number;
  seq: number;
}

export type Place = { type?: string | undefined; group?: string | undefined };
/** What a watch was sent, as far as it is judged. */
export type Item = { what: 'event' | 'snapshot' | 'bookmark'; at: Position; revision: string; kind: string; id?: string; resumed: boolean; ids?: Set<string> };

export const STANDING = ['registered', 'updated', 'restored'];
const DEPARTED = ['removed', 'expired'];
export const OF_GROUPS = ['held', 'released'];
export const KINDS = [...STANDING, ...DEPARTED, ...OF_GROUPS];

export function parsePosition(revision: string | undefined): Position | undefined {
  const [, epoch, ms, seq] = /^([^.]+)\.(\d+)-(\d+)$/.exec(revision ?? '') ?? [];
  const position = { epoch: epoch ?? '', ms: Number(ms), seq: Number(seq) };
  return Number.isSafeInteger(position.ms) && Number.isSafeInteger(position.seq) ? position : undefined;
}

/** Of one epoch only. */
export const comparePositions = (one: Position, other: Position) => one.ms - other.ms || one.seq - other.seq;

export const matches = (asked: Place, { type, group }: Place) =>
  (asked.type === undefined || asked.type === type) && (asked.group === undefined || asked.group === group);

type Sent = { revision: string; kind: string; id?: string };

/** The stream as one watch should be told it, with the registry that comes of it. */
export class History {
  readonly #asked: Place;
  readonly #entries: { entry: StreamEntry; at: Position }[];
  /** In the order in which the stream went through them. */
  readonly #epochs: string[];
  /** Whether the registry was empty before the first entry. */
  readonly whole: boolean;
  readonly #homes = new Map<string, Place>();
  #next = 0;

  constructor(truth: readonly StreamEntry[], asked: Place) {
    this.#asked = asked;
    this.#entries = truth.map((entry) => {
      const at = parsePosition(entry.revision);
      if (!at) throw new Error(`the stream holds no such revision: ${entry.revision}`);
      return { entry, at };
    });
    this.#epochs = [...new Set(this.#entries.map(({ at }) => at.epoch))];
    this.whole = !truth[0]?.prev;
  }

  /** Goes up to a position, and gives what the watch had to be sent on the way. */
  passTo(to: Position, inclusive: boolean): Sent[] {
    return this.#pass((at) => {
      const epochs = this.#epochs.indexOf(at.epoch) - this.#epochs.indexOf(to.epoch);
      const order = epochs || comparePositions(at, to);
      return this.#epochs.includes(to.epoch) && (order < 0 || (inclusive && order === 0));
    });
  }

  passRest(): Sent[] {
    return this.#pass(() => true);
  }

  /** The entry at this very position, if it is the next: what the watch had to be sent for it, or null for nothing. */
  take({ epoch, ms, seq }: Position): Sent | null | undefined {
    const at = this.#entries[this.#next]?.at;
    if (at?.epoch !== epoch || at.ms !== ms || at.seq !== seq) return undefined;
    return this.#pass((other) => other === at)[0] ?? null;
  }

  /** Ids that stand in what was asked for. */
  standing(): string[] {
    return [...this.#homes].flatMap(([id, home]) => (matches(this.#asked, home) ? [id] : []));
  }

  #pass(while_: (at: Position) => boolean): Sent[] {
    const sent: Sent[] = [];
    for (let next = this.#entries[this.#next]; next && while_(next.at); next = this.#entries[++this.#next]) {
      const told = this.#tell(next.entry);
      if (told) sent.push(told);
    }
    return sent;
  }

  #tell({ revision, kind, instanceId: id, type, group, fromType, fromGroup }: StreamEntry): Sent | undefined {
    const home = { type, group };
    const of = { revision, ...(id !== undefined && { id }) };
    const from = this.#homes.get(id ?? '') ?? (fromGroup === undefined ? undefined : { type: fromType, group: fromGroup });
    if (id !== undefined && STANDING.includes(kind)) this.#homes.set(id, home);
    if (id !== undefined && DEPARTED.includes(kind)) this.#homes.delete(id);
    if (!KINDS.includes(kind)) return undefined;
    if (matches(this.#asked, home)) return { kind, ...of };
    return kind === 'registered' && from && matches(this.#asked, from) ? { kind: 'removed', ...of } : undefined;
  }
}

/** Compares what was delivered with the stream, from the first position that the log knows. */
export function judge(items: readonly Item[], truth: readonly StreamEntry[], asked: WatchLogOptions): string[] {
  const history = new History(truth, asked);
  const broken: string[] = [];
  let last = parsePosition(asked.lastEventId);
  if (last) history.passTo(last, true);
  for (const item of items) {
    const followed = last?.epoch === item.at.epoch;
    if (last && followed && comparePositions(item.at, last) < (item.what === 'event' ? 1 : 0)) continue; // already told as out of order
    const missed = history.passTo(item.at, item.what !== 'event');
    if (item.what === 'snapshot') broken.push(...judgeSnapshot(item, history, asked.lapses ?? false));
    // Into another epoch without a snapshot, what only wrote back what the client has is not sent; nor is such a `restored` ever.
    else if (followed) broken.push(...missed.filter(({ kind }) => kind !== 'restored').map((sent) => `${gapOf(item)}: ${nameOf(sent)} was not sent before ${nameOf(item)}`));
    if (item.what === 'event') broken.push(...judgeEvent(item, history.take(item.at)));
    last = item.at;
  }
  return broken;
}

const gapOf = ({ what, resumed }: Item) => (what === 'bookmark' ? 'Bookmarkable' : resumed ? 'Resumable' : 'Reliable');
const nameOf = ({ kind, id = '', revision }: Sent) => `${kind} ${id} ${revision}`;

function judgeEvent(item: Item, sent: Sent | null | undefined): string[] {
  if (sent === undefined) return [`Reliable: ${nameOf(item)} is not in the stream`];
  if (sent === null) return [`Filter: ${nameOf(item)} is of nothing that was asked for`];
  return sent.kind === item.kind && sent.id === item.id ? [] : [`Reliable: ${nameOf(item)} is in the stream as ${nameOf(sent)}`];
}

function judgeSnapshot({ ids = new Set(), revision }: Item, history: History, lapses: boolean): string[] {
  if (!history.whole) return [];
  const standing = new Set(history.standing());
  const lacks = lapses ? [] : [...standing].filter((id) => !ids.has(id)).map((id) => `Reliable: the snapshot ${revision} lacks ${id}`);
  return [...lacks, ...[...ids].filter((id) => !standing.has(id)).map((id) => `Reliable: the snapshot ${revision} holds ${id}, which is not there`)];
}
