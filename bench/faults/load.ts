import { setTimeout as sleep } from 'node:timers/promises';
import type { Bed, Member } from './bed.js';
import { Http, NoAnswer, type Call, type Reply } from './http.js';
import type { Scale } from './scale.js';

export const TYPE = 'game';
const SLOWEST_REFUSAL_MS = 1500;
/** Then it tries another replica. */
const PATIENCE_MS = 2000;

/** One process that registered and beats, until it dies. Times are by Date.now(). */
export interface Life {
  id: string;
  group: string;
  incarnation: string;
  ttlMs: number;
  /** `silent`: it lives, and its heartbeats do not get through. `leaving`: its removal is under way. */
  state: 'new' | 'alive' | 'silent' | 'leaving' | 'dead' | 'removed';
  /** When it was told that it is registered. */
  registeredAt: number;
  /** When its last acknowledged renewal was sent: its lease lasts a ttl from here at least. */
  renewedAt: number;
  /** The latest moment at which any try of it may have renewed the lease. */
  triedAt: number;
  /** When it died or was told that it is removed. */
  goneAt: number;
  labels: Record<string, string>;
}

export interface Written {
  at: number;
  ms: number;
  status: number;
  verb: string;
}

interface BatchReply {
  results: { instanceId: string; status: number }[];
  nextHeartbeatMs: number;
}

/** Instances that beat as the README tells clients to, each through one replica in turn, and through the next where that fails. */
export class Load {
  readonly lives: Life[] = [];
  readonly http = new Http();
  readonly written: Written[] = [];
  readonly counts = { beats: 0, refused: 0, unanswered: 0, reRegistered: 0, fenced: 0 };
  /** What a write must never be answered. */
  readonly wrong: string[] = [];
  /** Heartbeats that were answered 404, each with what was known of the instance. */
  readonly unknown: string[] = [];
  slowestRefusalMs = 0;
  readonly #carriers: Promise<void>[] = [];
  #turn = 0;
  #stopped = false;

  constructor(
    readonly bed: Pick<Bed, 'members'>,
    readonly scale: Scale,
  ) {}

  get groups() {
    return [...new Set(this.lives.map(({ group }) => group))];
  }

  /** Registers these and lets them beat: most in batches of ten, a tenth one by one. */
  async begin(count: number, { stem = 'life', groups = this.scale.groups, ttlSeconds = this.scale.ttlSeconds }: { stem?: string; groups?: number; ttlSeconds?: number } = {}): Promise<Life[]> {
    const lives = Array.from({ length: count }, (_, n) => newLife(`${stem}-${n}`, `${stem}-${n % groups}`, ttlSeconds * 1000));
    for (let from = 0; from < count; from += 50) await Promise.all(lives.slice(from, from + 50).map((life) => this.register(life)));
    const alone = Math.ceil(count / 10);
    for (const life of lives.slice(0, alone)) this.carry([life]);
    for (let from = alone; from < count; from += 10) this.carry(lives.slice(from, from + 10));
    return lives;
  }

  /** Repeats with the same ids until it is done. */
  async register(life: Life, first = this.#turn++): Promise<Reply | undefined> {
    if (life.state === 'new' && !this.lives.includes(life)) this.lives.push(life);
    const body = { ...describe(life), incarnation: life.incarnation, ttlSeconds: life.ttlMs / 1000, labels: life.labels };
    for (let turn = first; !this.#stopped; turn++) {
      const reply = await this.#write(this.#member(turn), '/instances', { method: 'POST', body }, 'register');
      if (reply && (reply.status === 201 || reply.status === 200)) {
        if (life.state === 'new') life.state = 'alive';
        [life.registeredAt, life.renewedAt, life.triedAt] = [reply.receivedAt, reply.sentAt, reply.receivedAt];
        return reply;
      }
      await sleep(waitMs(reply));
    }
    return undefined;
  }

  /** Lets these beat, from now on, together. */
  carry(lives: Life[]) {
    this.#carriers.push(this.#carry(lives, this.#turn++));
  }

  /** SIGKILL to the instance: it says no more. */
  kill(lives: Life[]) {
    for (const life of lives) [life.state, life.goneAt] = ['dead', Date.now()];
  }

  silence(lives: Life[], silent: boolean) {
    for (const life of lives) if (life.state !== 'dead') life.state = silent ? 'silent' : 'alive';
  }

  async remove(life: Life, member = this.#member(this.#turn++)): Promise<number> {
    life.state = 'leaving';
    const reply = await this.#write(member, `/instances/${life.id}?incarnation=${life.incarnation}`, { method: 'DELETE' }, 'remove');
    if (reply?.status === 204) [life.state, life.goneAt] = ['removed', reply.receivedAt];
    else if (reply && reply.status !== 503) life.state = 'alive'; // else it may have happened
    return reply?.status ?? 0;
  }

  async patch(life: Life, labels: Record<string, string>, member = this.#member(this.#turn++)): Promise<number> {
    const reply = await this.#write(member, `/instances/${life.id}`, { method: 'PATCH', body: { labels } }, 'patch');
    if (reply?.status === 200) Object.assign(life.labels, labels);
    return reply?.status ?? 0;
  }

  /** How long these writes took, that were sent since then. */
  took(verb: string, since: number): number[] {
    return this.written.filter((each) => each.verb === verb && each.at >= since && each.status < 300).map(({ ms }) => ms);
  }

  async stop() {
    this.#stopped = true;
    await Promise.all(this.#carriers);
    this.http.close();
  }

  async #carry(lives: Life[], first: number) {
    const paceMs = (lives[0] as Life).ttlMs / 3;
    await sleep(Math.random() * paceMs);
    for (let turn = first; !this.#stopped; turn++) {
      const startedAt = Date.now();
      const nextMs = (await this.#beat(lives, turn)) ?? paceMs;
      const endsAt = startedAt + nextMs;
      while (!this.#stopped && Date.now() < endsAt) await sleep(Math.min(200, Math.max(1, endsAt - Date.now())));
      if (lives.every(({ state }) => state === 'dead' || state === 'removed')) return;
    }
  }

  /** Until each is renewed or told that it is not. Gives the pace that was asked for. */
  async #beat(all: Life[], first: number): Promise<number | undefined> {
    let left = all;
    let nextMs: number | undefined;
    for (let turn = first; !this.#stopped; turn++) {
      left = left.filter(({ state }) => state === 'alive');
      if (left.length === 0) return nextMs;
      const member = this.#member(turn);
      const reply = left.length === 1 ? await this.#beatOne(left[0] as Life, member) : await this.#beatMany(left, member);
      if (reply.nextMs !== undefined) nextMs = reply.nextMs;
      left = reply.left;
      // The next replica at once; when none takes it, later.
      if (left.length > 0 && (turn - first) % this.bed.members.length === this.bed.members.length - 1) await sleep(reply.waitMs);
    }
    return nextMs;
  }

  async #beatOne(life: Life, member: Member) {
    const reply = await this.#write(member, `/instances/${life.id}/heartbeat`, { method: 'POST', body: { incarnation: life.incarnation } }, 'heartbeat');
    life.triedAt = Math.max(life.triedAt, reply?.receivedAt ?? Date.now());
    const done = reply ? await this.#judge(life, reply.status, reply) : false;
    const nextMs = reply?.status === 200 ? (JSON.parse(reply.text) as BatchReply).nextHeartbeatMs : undefined;
    return { left: done ? [] : [life], nextMs, waitMs: waitMs(reply) };
  }

  async #beatMany(lives: Life[], member: Member) {
    const body = lives.map(({ id, incarnation }) => ({ instanceId: id, incarnation }));
    const reply = await this.#write(member, '/heartbeats', { method: 'POST', body }, 'heartbeat');
    for (const life of lives) life.triedAt = Math.max(life.triedAt, reply?.receivedAt ?? Date.now());
    if (reply?.status !== 200) return { left: lives, nextMs: undefined, waitMs: waitMs(reply) };
    const { results, nextHeartbeatMs } = JSON.parse(reply.text) as BatchReply;
    const done = await Promise.all(lives.map((life, i) => this.#judge(life, results[i]?.status ?? 0, reply)));
    const renewed = results.some(({ status }) => status === 200); // else the pace is that of nobody
    return { left: lives.filter((_, i) => !done[i]), nextMs: renewed ? nextHeartbeatMs : undefined, waitMs: 1000 };
  }

  /** True when there is nothing to repeat. */
  async #judge(life: Life, status: number, { sentAt }: Reply): Promise<boolean> {
    if (status === 200) {
      this.counts.beats++;
      life.renewedAt = Math.max(life.renewedAt, sentAt);
    } else if (life.state !== 'alive') return true;
    else if (status === 404) {
      this.counts.reRegistered++;
      this.unknown.push(`${new Date().toISOString()} ${life.id}: registered ${sentAt - life.registeredAt} ms before, renewed ${sentAt - life.renewedAt} ms before`);
      await this.register(life);
    } else if (status === 409) this.counts.fenced++;
    else return false;
    return true;
  }

  async #write(member: Member, path: string, call: Call, verb: string): Promise<Reply | undefined> {
    const wasUp = member.up;
    const reply = await this.http.call(member.url, path, { timeoutMs: PATIENCE_MS, ...call }).catch((error: NoAnswer) => error);
    const ms = reply.receivedAt - reply.sentAt;
    const excused = !wasUp || !member.up;
    if (reply instanceof NoAnswer) {
      this.counts.unanswered++;
      if (!excused && ms >= SLOWEST_REFUSAL_MS) this.wrong.push(`${verb}: ${reply.message}, after ${ms} ms`);
      return undefined;
    }
    this.written.push({ at: reply.sentAt, ms, status: reply.status, verb });
    if (reply.status === 503) {
      this.counts.refused++;
      if (!excused) this.slowestRefusalMs = Math.max(this.slowestRefusalMs, ms);
      if (!excused && ms > SLOWEST_REFUSAL_MS) this.wrong.push(`${verb}: refused only after ${ms} ms`);
      if (reply.headers['retry-after'] === undefined) this.wrong.push(`${verb}: 503 without Retry-After: ${reply.text}`);
    } else if (![200, 201, 204, 404, 409].includes(reply.status)) this.wrong.push(`${verb}: ${reply.status} ${reply.text}`);
    return reply;
  }

  #member = (turn: number) => this.bed.members[turn % this.bed.members.length] as Member;
}

/** As long as it was told, and never all at the same moment. */
const waitMs = (reply: Reply | undefined) => (reply ? Number(reply.headers['retry-after'] ?? 1) * 1000 : 200) * (0.8 + 0.4 * Math.random());

export const newLife = (id: string, group: string, ttlMs: number): Life => ({
  id, group, ttlMs, incarnation: 'life-1', state: 'new', registeredAt: 0, renewedAt: 0, triedAt: 0, goneAt: 0, labels: {},
});

export const describe = ({ id, group }: Pick<Life, 'id' | 'group'>) => ({
  instanceId: id, type: TYPE, group, hostname: `${id}.example.com`, privateIp: '10.0.4.17', ports: [{ port: 7777, name: 'game', protocol: 'udp' }],
});
