import { setTimeout as sleep } from 'node:timers/promises';
import { TYPE } from '../load.js';
import { Http, NoAnswer, type Reply } from '../http.js';
import { Draw } from './draw.js';
import type { Ground } from './ground.js';
import type { History, Try } from './history.js';
import type { Deed, Operation } from './plan.js';

export const TTL_MS = 9000;
const CALL_MS = 5000;
/** A beat has only its third of the lease for all replicas. */
const BEAT_MS = 2000;
const REMOVE_TRIES = 3;

/** One process, from its registration until it is gone. */
export interface Life {
  id: string;
  inc: string;
  group: string;
  v: number;
  /** `replaced`: a younger process has its id, it will hear so. */
  state: 'joining' | 'alive' | 'replaced' | 'leaving' | 'gone';
}

interface Slot {
  name: string;
  generation: number;
  lives: Life[];
  /** One operation after the other; heartbeats go on beside them. */
  queue: Promise<unknown>;
}

type Verb = Try['verb'];

/** Instances that do what the README tells clients to, and what is done to them. */
export class Fleet {
  readonly slots: Slot[];
  readonly http = new Http(300);
  readonly groups: string[];
  #stopped = false;
  #op = 0;
  #turn = 0;
  readonly #draw: Draw;
  readonly #carriers: Promise<void>[] = [];
  /** Whose last operation was answered 4xx. */
  readonly #refused = new Set<Life>();

  constructor(
    private readonly ground: Ground,
    private readonly history: History,
    seed: number,
    { slots, groups }: { slots: number; groups: number },
  ) {
    this.#draw = new Draw(seed * 31 + 7);
    this.groups = Array.from({ length: groups }, (_, n) => `g${n}`);
    this.slots = Array.from({ length: slots }, (_, n) => ({ name: `s${n}`, generation: 0, lives: [], queue: Promise.resolve() }));
  }

  /** All register and begin to beat: a third one by one, the others in batches of eight. */
  async begin() {
    for (let from = 0; from < this.slots.length; from += 40) await Promise.all(this.slots.slice(from, from + 40).map((slot, n) => this.#join(slot, this.#born(slot, this.groups[(from + n) % this.groups.length] as string))));
    const alone = Math.ceil(this.slots.length / 3);
    for (const slot of this.slots.slice(0, alone)) this.#carriers.push(this.#carry([slot]));
    for (let from = alone; from < this.slots.length; from += 8) this.#carriers.push(this.#carry(this.slots.slice(from, from + 8)));
  }

  /** When it comes to it: in the order that each slot is told. */
  do({ deed, slot: n, seed }: Operation) {
    const slot = this.slots[n] as Slot;
    slot.queue = slot.queue.then(() => (this.#stopped ? undefined : this.#do(deed, slot, new Draw(seed))));
  }

  /** Those that live. */
  get living(): Life[] {
    return this.slots.flatMap(({ lives }) => lives.filter(({ state }) => state === 'alive'));
  }

  /** No operation is under way any more. */
  async settled() {
    await Promise.all(this.slots.map(({ queue }) => queue));
  }

  async stop() {
    this.#stopped = true;
    await Promise.all([...this.#carriers, this.settled()]);
    this.http.close();
  }

  #born(slot: Slot, group: string, anew = true): Life {
    if (anew) slot.generation++;
    const life: Life = { id: `${slot.name}-${slot.generation}`, inc: `p${++this.#op}`, group, v: 0, state: 'joining' };
    slot.lives.push(life);
    return life;
  }

  async #do(deed: Deed, slot: Slot, draw: Draw) {
    if (slot.lives.some(({ state }) => state === 'joining')) return undefined; // it was not known any more, and is about to come back
    const life = slot.lives.find(({ state }) => state === 'alive');
    if (!life) return deed === 'patch' ? undefined : this.#join(slot, this.#born(slot, draw.pick(this.groups), draw.chance(0.5)));
    if (deed === 'patch') {
      life.v++;
      await this.#write('patch', life, (at) => this.#call(at, `/instances/${life.id}`, 'PATCH', { labels: { v: String(life.v) } }), Infinity);
      if (this.#refused.delete(life) && life.state === 'alive') await this.#register('register', life); // it says all, so also this
    } else if (deed === 'move') {
      life.group = draw.pick(this.groups.filter((group) => group !== life.group));
      await this.#register('move', life);
    } else if (deed === 'replace') {
      const younger = this.#born(slot, draw.chance(0.7) ? life.group : draw.pick(this.groups), false);
      younger.id = life.id;
      await this.#join(slot, younger, life);
    } else await this.#leave(deed, slot, life, draw);
  }

  async #join(slot: Slot, life: Life, older?: Life) {
    const done = await this.#register('register', life);
    if (done) life.state = 'alive';
    if (older?.state === 'alive') older.state = 'replaced';
    slot.lives = slot.lives.filter(({ state }) => state !== 'gone');
  }

  async #leave(deed: 'remove' | 'die', slot: Slot, life: Life, draw: Draw) {
    life.state = deed === 'die' ? 'gone' : 'leaving';
    if (deed === 'remove') {
      await this.#write('remove', life, (at) => this.#call(at, `/instances/${life.id}?incarnation=${life.inc}`, 'DELETE'), REMOVE_TRIES);
      life.state = 'gone';
      if (draw.chance(0.4)) void sleep(draw.whole(0, 2500)).then(() => (this.#stopped ? [] : this.#beatOne(life, draw.whole(0, 2)))); // that was under way
    }
    await sleep(draw.whole(0, deed === 'die' ? 12_000 : 4000));
    if (!this.#stopped) await this.#join(slot, this.#born(slot, draw.pick(this.groups), draw.chance(0.6)));
  }

  #register(verb: 'register' | 'move', life: Life): Promise<boolean> {
    const body = () => ({
      instanceId: life.id, incarnation: life.inc, type: TYPE, group: life.group, ttlSeconds: TTL_MS / 1000, labels: { v: String(life.v) },
      hostname: `${life.id}.example.com`, privateIp: '10.0.4.17', ports: [7777],
    });
    return this.#write(verb, life, (at) => this.#call(at, '/instances', 'POST', body()), Infinity);
  }

  /** One operation, repeated at the next replica until it is done or was tried so often. Then it waits until no try can come late any more. */
  async #write(verb: Verb, life: Life, send: (replica: number) => Promise<Reply | NoAnswer>, tries: number): Promise<boolean> {
    const op = ++this.#op;
    const doubtful = new Set<number>();
    let done = false;
    this.#refused.delete(life);
    for (let n = 0; n < tries && !done && !this.#stopped; n++) {
      const replica = this.#turn++ % 3;
      const reply = await send(replica);
      const status = reply instanceof NoAnswer ? 0 : reply.status;
      this.#note(verb, life, op, replica, reply);
      if (status === 0 || status === 503) {
        doubtful.add(replica);
        await sleep(waitMs(reply));
      } else {
        done = true;
        if (status >= 400) this.#refused.add(life);
      }
    }
    while (!this.#stopped && [...doubtful].some((replica) => !this.ground.calm(replica))) await sleep(50);
    return done;
  }

  #call(replica: number, path: string, method: string, body?: unknown, timeoutMs = CALL_MS): Promise<Reply | NoAnswer> {
    const { url } = this.ground.bed.members[replica] as { url: string };
    return this.http.call(url, path, { method, timeoutMs, ...(body !== undefined && { body }) }).catch((error: NoAnswer) => error);
  }

  #note(verb: Verb, { id, inc, group, v }: Life, op: number, replica: number, { sentAt, receivedAt, ...reply }: Reply | NoAnswer, status = 'status' in reply ? reply.status : 0) {
    this.history.add({ t: 'try', verb, id, inc, group, v, op, replica, sentAt, receivedAt, status });
  }

  async #carry(slots: Slot[]) {
    let nextMs = this.#draw.whole(100, TTL_MS / 3);
    while (!this.#stopped) {
      const due = Date.now() + nextMs;
      while (!this.#stopped && Date.now() < due) await sleep(Math.min(200, Math.max(1, due - Date.now())));
      let left = slots.flatMap(({ lives }) => lives.filter(({ state }) => state === 'alive' || state === 'replaced'));
      nextMs = TTL_MS / 3;
      for (let n = 0; left.length > 0 && !this.#stopped && n < 6; n++) {
        const replica = this.#turn++ % 3;
        left = (await (left.length === 1 ? this.#beatOne(left[0] as Life, replica) : this.#beatMany(left, replica))).filter(({ state }) => state === 'alive' || state === 'replaced');
        if (left.length > 0 && n % 3 === 2) await sleep(this.#draw.whole(300, 900));
      }
    }
  }

  /** Gives it back if that has to be repeated. */
  async #beatOne(life: Life, replica: number): Promise<Life[]> {
    const reply = await this.#call(replica, `/instances/${life.id}/heartbeat`, 'POST', { incarnation: life.inc }, BEAT_MS);
    this.#note('beat', life, 0, replica, reply);
    return this.#heard(life, reply instanceof NoAnswer ? 0 : reply.status);
  }

  async #beatMany(lives: Life[], replica: number): Promise<Life[]> {
    const reply = await this.#call(replica, '/heartbeats', 'POST', lives.map(({ id, inc }) => ({ instanceId: id, incarnation: inc })), BEAT_MS);
    const results = !(reply instanceof NoAnswer) && reply.status === 200 ? (JSON.parse(reply.text) as { results: { status: number }[] }).results : [];
    const other = reply instanceof NoAnswer ? 0 : reply.status;
    return lives.flatMap((life, n) => {
      const status = results[n]?.status ?? other;
      this.#note('beat', life, 0, replica, reply, status);
      return this.#heard(life, status);
    });
  }

  #heard(life: Life, status: number): Life[] {
    if (status === 200) return [];
    const slot = this.slots.find(({ lives }) => lives.includes(life));
    if (status === 409 || (status === 404 && life.state === 'replaced')) life.state = 'gone';
    else if (status === 404 && life.state === 'alive' && slot) {
      life.state = 'joining';
      slot.queue = slot.queue.then(() => (life.state === 'joining' && !this.#stopped ? this.#join(slot, life) : undefined));
    } else return life.state === 'alive' || life.state === 'replaced' ? [life] : [];
    return [];
  }
}

/** As long as it was told, but not for long: another replica may do it. */
const waitMs = (reply: Reply | NoAnswer) => ('headers' in reply ? Math.min(1000, Number(reply.headers['retry-after'] ?? 1) * 500) : 200);
