import { setTimeout as sleep } from 'node:timers/promises';
import type { Bed, Member } from './bed.js';
import { idsIn, NoAnswer, type Reply } from './http.js';
import { TYPE, type Life, type Load } from './load.js';
import type { Outages } from './outages.js';

/** So long a registration or a removal may take to be seen by a replica whose answers are not marked stale. After a second they are, in whole seconds. */
const SEEN_WITHIN_MS = 1500;
export const GONE_WITHIN_MS = 2000;

/** Asks all replicas for all groups, again and again, and compares each answer with what is known of each instance. */
export class Witness {
  readonly counts = { discovers: 0, failed: 0, shed: 0, stale: 0, retried: 0, early: 0, unproved: 0 };
  readonly earlyIds = new Set<string>();
  readonly ghosts = new Map<string, number>();
  /** When each was last shown in an answer that is not stale. */
  readonly lastShown = new Map<string, number>();
  readonly notes: string[] = [];
  /** The longest time without any answer, of a caller that goes to the next replica at once. */
  gapMs = 0;
  /** After a failover the acknowledged writes that it lost are seen by all only when they have been given back. */
  seenWithinMs = SEEN_WITHIN_MS;
  #answeredAt = Date.now();
  #stopped = false;
  #running: Promise<unknown> = Promise.resolve();

  constructor(
    private readonly bed: Pick<Bed, 'members' | 'balancer'>,
    private readonly load: Load,
    private readonly outages: Outages,
  ) {}

  begin(perSecond: number) {
    this.#answeredAt = Date.now();
    this.#running = this.#run(perSecond);
  }

  async stop() {
    this.#stopped = true;
    await this.#running;
  }

  async #run(perSecond: number) {
    const under = new Set<Promise<unknown>>();
    for (let n = 0; !this.#stopped; n++) {
      const asked = this.ask(n).finally(() => under.delete(asked));
      under.add(asked);
      await sleep(1000 / perSecond);
    }
    await Promise.all(under);
  }

  /** One discover, as a client does it: at the next replica when one does not answer. */
  async ask(n: number) {
    const { groups } = this.load;
    const group = groups[n % groups.length] as string;
    for (let turn = 0; turn < this.bed.members.length; turn++) {
      const member = this.bed.members[(n + turn) % this.bed.members.length] as Member;
      const wasUp = member.up;
      const reply = await this.load.http.call(member.url, `/instances?type=${TYPE}&group=${group}`).catch((error: NoAnswer) => error);
      this.counts.discovers++;
      if (!(reply instanceof NoAnswer) && reply.status === 200) {
        this.gapMs = Math.max(this.gapMs, reply.receivedAt - this.#answeredAt);
        this.#answeredAt = reply.receivedAt;
        return this.judge(reply, group, member.url);
      }
      this.counts.retried++;
      const isShed = !(reply instanceof NoAnswer) && reply.status === 503 && reply.text.includes('"overloaded"') && reply.headers['retry-after'] !== undefined;
      if (isShed) this.counts.shed++; // reads are the first to be left out when there is too much to do
      const said = reply instanceof NoAnswer ? reply.message : `${reply.status} ${reply.text.slice(0, 200)}`;
      if (!isShed && wasUp && member.up) this.#note(`discover at ${member.url}, which is up: ${said}`);
    }
    this.counts.failed++;
  }

  /** Whether this answer leaves out one that must be there, or shows one that must be gone. */
  judge(reply: Reply, group: string, from: string) {
    const shown = idsIn(reply.text);
    const staleMs = Number(reply.headers['x-stale-seconds'] ?? 0) * 1000;
    if (staleMs > 0) this.counts.stale++;
    for (const life of this.load.lives) {
      if (life.group !== group) continue;
      if (shown.has(life.id)) this.#checkGhost(life, reply, staleMs);
      else if (this.mustShow(life, reply, staleMs)) {
        this.counts.early++;
        if (!this.earlyIds.has(life.id)) this.#note(this.#describeEarly(life, reply, staleMs, from));
        this.earlyIds.add(life.id);
      }
    }
    return shown;
  }

  mustShow(life: Life, { sentAt, receivedAt }: Pick<Reply, 'sentAt' | 'receivedAt'>, staleMs: number): boolean {
    const lives = life.state === 'alive' || (life.state === 'silent' && this.outages.holds);
    if (!lives || life.registeredAt === 0 || life.registeredAt > sentAt - this.seenWithinMs - staleMs) return false;
    const sure = life.state === 'silent' || receivedAt <= life.renewedAt + life.ttlMs || this.outages.covers(life, receivedAt);
    if (!sure) this.counts.unproved++; // our own heartbeats came too late
    return sure;
  }

  /** The last that may still be shown is gone by then. */
  lastGhostAt(): number {
    const ends = this.load.lives.filter(({ state }) => state === 'dead').map((life) => this.outages.endOf(life) + GONE_WITHIN_MS);
    return Math.max(0, ...ends);
  }

  #checkGhost(life: Life, { sentAt }: Reply, staleMs: number) {
    if (staleMs > 0 || this.outages.open) return;
    this.lastShown.set(life.id, sentAt);
    const until = life.state === 'dead' ? this.outages.endOf(life) + GONE_WITHIN_MS : life.state === 'removed' ? life.goneAt + this.seenWithinMs : Infinity;
    if (sentAt > until) this.ghosts.set(life.id, Math.max(this.ghosts.get(life.id) ?? 0, sentAt - until));
  }

  #describeEarly(life: Life, { receivedAt, headers }: Reply, staleMs: number, from: string) {
    const renewed = receivedAt - life.renewedAt;
    return `${new Date(receivedAt).toISOString()} ${life.id} is left out by ${from}: renewed ${renewed} ms ago of ${life.ttlMs}, ${staleMs} ms stale, revision ${String(headers['x-revision'])}`;
  }

  #note(text: string) {
    if (this.notes.length < 30) this.notes.push(text);
  }
}
