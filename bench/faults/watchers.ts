import { setTimeout as sleep } from 'node:timers/promises';
import { openWatch, type Frame, type Watch } from '../../test/helpers/sse.js';
import { TOKEN } from '../rig.js';
import type { Bed, Member } from './bed.js';
import { TYPE, type Load } from './load.js';
import type { Witness } from './witness.js';

interface Shown {
  instanceId: string;
  group: string;
  [field: string]: unknown;
}

interface Told {
  instance?: Shown;
  instances?: Shown[];
  more?: boolean;
  cause?: string;
}

/** What an instance says of itself: without what moves by itself, and without marks that come and go with a hold. */
export function contentOf({ lastHeartbeat: _l, expiresAt: _e, performance: _p, registeredAt: _r, updatedAt: _u, suspect: _s, ...content }: Record<string, unknown>): string {
  return JSON.stringify(Object.entries(content).sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** Follows one group or all of them, over as many connections as it takes, and keeps the picture that a client would. */
export class Follower {
  readonly picture = new Map<string, string>();
  readonly counts = { resets: 0, empty: 0, falseDepartures: 0, shortSnapshots: 0, needless: 0, events: 0, connections: 0 };
  readonly notes: string[] = [];
  loaded = false;
  #parts: Shown[] = [];
  #lastEventId = '';
  #watch: Watch | undefined;
  #stopped = false;
  readonly #running: Promise<void>;

  constructor(
    private readonly bed: Pick<Bed, 'members'>,
    private readonly load: Load,
    private readonly witness: Witness,
    readonly group: string | undefined,
    private readonly first: number,
  ) {
    this.#running = this.#run();
  }

  async stop() {
    this.#stopped = true;
    this.#watch?.cut();
    await this.#running;
  }

  async #run() {
    const query = this.group === undefined ? `type=${TYPE}` : `type=${TYPE}&group=${this.group}`;
    for (let turn = this.first; !this.#stopped; turn++) {
      const member = this.bed.members[turn % this.bed.members.length] as Member;
      this.#parts = [];
      this.#watch = openWatch(`${member.url}/sd/v1/watch?${query}`, {
        headers: { 'x-api-token': TOKEN },
        lastEventId: this.#lastEventId,
        onFrame: (frame) => this.#fold(frame),
      });
      this.counts.connections++;
      const frames = this.#watch.frames;
      const forget = setInterval(() => frames.splice(0), 1000); // nobody looks at them again
      await this.#watch.ended;
      clearInterval(forget);
      if (!this.#stopped) await sleep(50 + Math.random() * 250);
    }
  }

  #fold(frame: Frame) {
    const told = frame.event === 'message' ? {} : frame.json<Told>();
    if (frame.event === 'reset') {
      this.counts.resets++;
      this.#note(`reset: ${frame.data}`);
    } else if (frame.event === 'snapshot') this.#snapshot(told);
    else if (told.instance) this.#event(frame.event, told.instance, told.cause, frame.data);
    if (frame.id !== undefined) this.#lastEventId = frame.id;
  }

  #snapshot({ instances = [], more }: Told) {
    this.#parts.push(...instances);
    if (more) return;
    this.picture.clear();
    for (const instance of this.#parts) this.picture.set(instance.instanceId, contentOf(instance));
    this.#parts = [];
    this.loaded = true;
    const now = { sentAt: Date.now(), receivedAt: Date.now() };
    const missing = this.#scope().filter((life) => !this.picture.has(life.id) && this.witness.mustShow(life, now, 1000));
    if (missing.length === 0) return;
    if (this.picture.size === 0) this.counts.empty++;
    this.counts.shortSnapshots++;
    this.#note(`a snapshot of ${this.picture.size} without ${missing.length} live ones`);
  }

  #event(event: string, instance: Shown, cause: string | undefined, data: string) {
    this.counts.events++;
    const id = instance.instanceId;
    if (event === 'removed' || event === 'expired') {
      const life = this.#scope().find((each) => each.id === id);
      const now = { sentAt: Date.now(), receivedAt: Date.now() };
      if (life && cause !== 'moved' && this.witness.mustShow(life, now, 0)) {
        this.counts.falseDepartures++;
        this.#note(`${new Date().toISOString()} ${event} of the live ${id}: ${data.slice(0, 200)}`);
      }
      this.picture.delete(id);
    } else if (['registered', 'updated', 'restored'].includes(event)) {
      const content = contentOf(instance);
      if (event === 'restored' && this.picture.get(id) === content) this.counts.needless++;
      this.picture.set(id, content);
    }
  }

  #scope = () => this.load.lives.filter(({ group }) => this.group === undefined || group === this.group);

  #note(text: string) {
    if (this.notes.length < 5) this.notes.push(text);
  }
}
