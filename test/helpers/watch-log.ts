import type { Frame } from './sse.js';
import { comparePositions, History, judge, KINDS, matches, OF_GROUPS, parsePosition, STANDING, type Item, type Place, type Position, type StreamEntry, type WatchLogOptions } from './watch-history.js';

export { comparePositions, parsePosition, type Position, type StreamEntry, type WatchLogOptions } from './watch-history.js';

export interface Watched {
  instanceId: string;
  type: string;
  group: string;
  [field: string]: unknown;
}

interface Body {
  revision?: string;
  instance?: Watched;
  instances?: Watched[];
  more?: boolean;
  reason?: string;
  cause?: string;
  type?: string;
  group?: string;
}

const SNAPSHOT_MAX = 1000;

/**
 * What a client makes of the frames of one watch, over all its connections, and what they break of the guarantees that
 * etcd's robustness tests check: Filter, Ordered, Unique, Reliable, Resumable, Bookmarkable; and of the frames' contract.
 *
 *   openWatch(url, { lastEventId: log.connect(), onFrame: (frame) => log.accept(frame) })
 */
export class WatchLog {
  /** The client's picture. A snapshot replaces it when its last part is there. */
  readonly instances = new Map<string, Watched>();
  readonly epochs: string[] = [];
  readonly resets: string[] = [];
  readonly counts: Record<string, number> = {};
  lastEventId: string;
  readonly #asked: WatchLogOptions;
  readonly #items: Item[] = [];
  readonly #broken: string[] = [];
  readonly #seen = new Set<string>();
  #position: Position | undefined;
  #bookmark: Position | undefined;
  #parts: Map<string, Watched> | undefined;
  #hasPicture: boolean;
  #resumes: { from: string } | undefined;
  #resumed = false;

  constructor(asked: WatchLogOptions = {}) {
    this.#asked = asked;
    this.lastEventId = asked.lastEventId ?? '';
    this.#hasPicture = this.lastEventId !== '';
    this.#position = parsePosition(this.lastEventId);
    if (this.#position) this.epochs.push(this.#position.epoch);
  }

  /** A connection begins: half a snapshot is forgotten. Gives the Last-Event-ID to send. */
  connect(lastEventId = this.lastEventId): string {
    this.#parts = undefined;
    this.#hasPicture = lastEventId !== '';
    this.#resumes = lastEventId === '' ? undefined : { from: lastEventId };
    this.#resumed = this.#resumes !== undefined;
    return lastEventId;
  }

  accept(frame: Frame): void {
    this.counts[frame.event] = (this.counts[frame.event] ?? 0) + 1;
    try {
      this.#fold(frame);
    } catch (error) {
      this.#require(false, frame, (error as Error).message);
    }
    if (frame.id !== undefined) this.lastEventId = frame.id;
  }

  /** What was broken, each with the guarantee's name first. With the stream's entries, also what is missing or was never there. */
  violations(truth?: readonly StreamEntry[]): string[] {
    return truth ? [...this.#broken, ...judge(this.#items, truth, this.#asked)] : [...this.#broken];
  }

  /** How many entries this watch has still to be sent: none behind its position. */
  behind(truth: readonly StreamEntry[]): number {
    const here = this.#position;
    const history = new History(truth, this.#asked);
    if (here) history.passTo(here, true);
    return history.passRest().length;
  }

  #fold(frame: Frame) {
    const kind = frame.event;
    if (kind === 'performance') return this.#require(frame.id === undefined, frame, 'has an id');
    const body: Body = kind === 'reset' || kind === 'snapshot' || kind === 'bookmark' || KINDS.includes(kind) ? frame.json<Body>() : {};
    if (kind === 'reset') this.#reset(frame, body);
    else if (kind === 'snapshot') this.#snapshot(frame, body);
    else if (kind === 'bookmark') this.#bookmarked(frame, body);
    else if (KINDS.includes(kind)) this.#event(frame, body);
  }

  #reset(frame: Frame, { reason }: Body) {
    this.#require(frame.id === undefined, frame, 'has an id: a cut before the snapshot would lose it');
    this.resets.push(reason ?? '');
    this.#parts = undefined;
    this.#hasPicture = this.#resumed = false;
    this.#resumes = undefined;
  }

  #snapshot(frame: Frame, { instances = [], revision, more }: Body) {
    if (this.#resumes) this.#break('Resumable', `a snapshot without reset after Last-Event-ID ${this.#resumes.from}`);
    else this.#require(!this.#hasPicture, frame, 'a second snapshot without reset');
    this.#resumes = undefined;
    this.#hasPicture = false;
    this.#require(instances.length <= SNAPSHOT_MAX, frame, `${instances.length} instances in one frame`);
    this.#require(more ? frame.id === undefined : frame.id === revision, frame, 'only the last part has an id, its revision');
    const parts = (this.#parts ??= new Map());
    for (const instance of instances) {
      this.#filter(frame, instance, instance.instanceId);
      if (parts.has(instance.instanceId)) this.#break('Unique', `${instance.instanceId} twice in the snapshot ${revision}`);
      parts.set(instance.instanceId, instance);
    }
    if (more) return;
    this.#move('snapshot', revision, frame, { ids: new Set(parts.keys()) });
    this.instances.clear();
    for (const [id, instance] of parts) this.instances.set(id, instance);
    this.#parts = undefined;
    this.#hasPicture = true;
  }

  #bookmarked(frame: Frame, { revision }: Body) {
    this.#bookmark = this.#move('bookmark', revision, frame, {}) ?? this.#bookmark;
  }

  #event(frame: Frame, { instance, revision, cause, type, group }: Body) {
    const id = instance?.instanceId;
    const ofGroup = OF_GROUPS.includes(frame.event);
    this.#require(ofGroup || typeof id === 'string', frame, 'has no instance');
    // Who moved may stand there with its new home.
    if (instance && cause !== 'moved') this.#filter(frame, instance, id);
    if (ofGroup && type !== undefined) this.#filter(frame, { type, group }, 'its group');
    this.#move('event', revision, frame, id === undefined ? {} : { id });
    if (instance && STANDING.includes(frame.event)) this.instances.set(instance.instanceId, instance);
    else if (id !== undefined) this.instances.delete(id);
  }

  /** Checks a position against those before it. */
  #move(what: Item['what'], revision: string | undefined, frame: Frame, of: { id?: string; ids?: Set<string> }): Position | undefined {
    const at = parsePosition(revision);
    this.#require(at !== undefined && (what === 'snapshot' || frame.id === revision), frame, 'its id is not its revision, or none at all');
    if (!at || revision === undefined) return undefined;
    if (what !== 'snapshot') this.#require(this.#hasPicture, frame, 'before a whole snapshot');
    const name = `${frame.event} ${of.id ?? ''} ${revision}`;
    if (this.#resumes && parsePosition(this.#resumes.from)?.epoch !== at.epoch) {
      this.#break('Resumable', `${name} without reset after Last-Event-ID ${this.#resumes.from}`);
    }
    this.#resumes = undefined;
    if (this.#position?.epoch !== at.epoch) {
      if (this.epochs.includes(at.epoch)) this.#break('Ordered', `${name} is of an epoch left before ${this.epochs.at(-1)}`);
      else this.epochs.push(at.epoch);
      this.#position = this.#bookmark = undefined;
    }
    this.#compare(what, at, revision, name);
    if (!this.#position || comparePositions(at, this.#position) > 0) this.#position = at;
    if (what === 'event') this.#seen.add(revision);
    this.#items.push({ what, at, revision, kind: frame.event, resumed: this.#resumed, ...of });
    if (what === 'event') this.#resumed = false;
    return at;
  }

  #compare(what: Item['what'], at: Position, revision: string, name: string) {
    const last = this.#position ? comparePositions(at, this.#position) : 1;
    if (what === 'event') {
      if (this.#seen.has(revision)) this.#break('Unique', `${name} came before`);
      else if (last === 0) this.#break('Unique', `${name} is in the snapshot or bookmark before it`);
      if (this.#bookmark && comparePositions(at, this.#bookmark) <= 0) this.#break('Bookmarkable', `${name} after a bookmark that covers it`);
    }
    if (last < 0) this.#break('Ordered', `${name} after ${this.#position?.ms}-${this.#position?.seq}`);
  }

  #filter(frame: Frame, place: Place, name = '') {
    if (!matches(this.#asked, place)) this.#break('Filter', `${frame.event} ${name} of ${place.type}:${place.group}`);
  }

  #require(holds: boolean, frame: Frame, why: string) {
    if (!holds) this.#break('Contract', `${frame.event} ${frame.id ?? ''}: ${why}: ${frame.data.slice(0, 200)}`);
  }

  #break(guarantee: string, what: string) {
    this.#broken.push(`${guarantee}: ${what}`);
  }
}
