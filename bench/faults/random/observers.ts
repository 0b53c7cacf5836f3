import { setTimeout as sleep } from 'node:timers/promises';
import { openWatch, type Frame as SseFrame, type Watch } from '../../../test/helpers/sse.js';
import { TOKEN } from '../../rig.js';
import { NoAnswer, type Http } from '../http.js';
import { TYPE } from '../load.js';
import { Draw } from './draw.js';
import type { Ground } from './ground.js';
import type { History, Shown } from './history.js';

const STRONG_PART = 0.1;

interface Body {
  instanceId: string;
  incarnation: string;
  labels?: { v?: string };
  suspect?: boolean;
}

const shown = ({ instanceId, incarnation, labels, suspect }: Body): Shown => [instanceId, incarnation, Number(labels?.v ?? -1), suspect ? 1 : 0];
export const shownIn = (text: string): Shown[] => (JSON.parse(text) as { instances: Body[] }).instances.map(shown);

/** Asks replicas by chance for groups by chance, until it is stopped. */
export class Asker {
  #stopped = false;
  #running: Promise<void> = Promise.resolve();
  readonly #draw: Draw;

  constructor(
    private readonly ground: Ground,
    private readonly history: History,
    private readonly http: Http,
    seed: number,
    private readonly groups: string[],
  ) {
    this.#draw = new Draw(seed * 31 + 8);
  }

  begin(perSecond: number) {
    this.#running = this.#run(perSecond);
  }

  async stop() {
    this.#stopped = true;
    await this.#running;
  }

  async #run(perSecond: number) {
    const under = new Set<Promise<void>>();
    while (!this.#stopped) {
      const asked = this.#ask(this.#draw.whole(0, 2), this.#draw.pick(this.groups), this.#draw.chance(STRONG_PART)).finally(() => under.delete(asked));
      under.add(asked);
      await sleep(1000 / perSecond);
    }
    await Promise.all(under);
  }

  async #ask(replica: number, group: string, strong: boolean) {
    const { url } = this.ground.bed.members[replica] as { url: string };
    const reply = await this.http.call(url, `/instances?type=${TYPE}&group=${group}${strong ? '&consistency=strong' : ''}`).catch((error: NoAnswer) => error);
    if (reply instanceof NoAnswer || reply.status !== 200) return;
    const { headers, sentAt, receivedAt } = reply;
    const [stale, recovering] = [headers['x-stale-seconds'], headers['x-recovering']];
    this.history.add({
      t: 'answer', replica, group, sentAt, receivedAt, revision: String(headers['x-revision']), list: shownIn(reply.text),
      ...(stale !== undefined && { staleS: Number(stale) }), ...(recovering !== undefined && { recovering: true }), ...(strong && { strong }),
    });
  }
}

interface Told {
  instance?: Body;
  instances?: Body[];
  more?: boolean;
  cause?: string;
  of?: string;
}

/** Follows one group or all of them, over as many connections as it takes, and keeps the picture that a client would. */
export class Follower {
  readonly picture = new Map<string, Shown>();
  connections = 0;
  events = 0;
  #parts: Shown[] = [];
  #lastEventId = '';
  #watch: Watch | undefined;
  #stopped = false;
  #replica: number;
  readonly #running: Promise<void>;

  constructor(
    private readonly ground: Ground,
    private readonly history: History,
    readonly number: number,
    readonly group: string,
  ) {
    this.#replica = number % 3;
    this.#running = this.#run();
  }

  /** Its connection breaks, and it comes back at another replica. */
  cut() {
    this.#watch?.cut();
  }

  async stop() {
    this.#stopped = true;
    this.cut();
    await this.#running;
  }

  async #run() {
    const query = this.group === '' ? `type=${TYPE}` : `type=${TYPE}&group=${this.group}`;
    while (!this.#stopped) {
      const { url } = this.ground.bed.members[this.#replica] as { url: string };
      this.#parts = [];
      this.connections++;
      const watch = openWatch(`${url}/sd/v1/watch?${query}`, { headers: { 'x-api-token': TOKEN }, lastEventId: this.#lastEventId, onFrame: (frame) => this.#fold(frame) });
      this.#watch = watch;
      let heard = Date.now();
      let comments = 0;
      const look = setInterval(() => {
        if (watch.comments + watch.frames.length > comments) heard = Date.now();
        watch.frames.splice(0); // nobody looks at them again
        comments = watch.comments;
        if (Date.now() - heard > 20_000) watch.cut(); // the README says 45 s: a run is too short for that
      }, 1000);
      await watch.ended;
      clearInterval(look);
      this.#replica = (this.#replica + 1) % 3;
      if (!this.#stopped) await sleep(50 + Math.random() * 250);
    }
  }

  #fold(frame: SseFrame) {
    const told = frame.event === 'message' || frame.data === '' ? {} : frame.json<Told>();
    if (frame.id !== undefined) this.#lastEventId = frame.id;
    let list: Shown[] | undefined;
    if (frame.event === 'snapshot') {
      this.#parts.push(...(told.instances ?? []).map(shown));
      if (told.more) return;
      list = this.#parts;
      this.#parts = [];
      this.picture.clear();
      for (const each of list) this.picture.set(each[0], each);
    }
    const one = told.instance && shown(told.instance);
    if (one) {
      this.events++;
      if (frame.event === 'removed' || frame.event === 'expired') this.picture.delete(one[0]);
      else if (['registered', 'updated', 'restored'].includes(frame.event)) this.picture.set(one[0], one);
    }
    this.history.add({
      t: 'frame', watcher: this.number, group: this.group, replica: this.#replica, connection: this.connections, at: Date.now(), event: frame.event,
      ...(frame.id !== undefined && { revision: frame.id }), ...(one && { id: one[0], inc: one[1], v: one[2] }),
      ...(told.cause !== undefined && { cause: told.cause }), ...(told.of !== undefined && { of: told.of }), ...(list && { list }),
    });
  }
}
