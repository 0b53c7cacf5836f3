import { setTimeout as sleep } from 'node:timers/promises';
import { Client, pick, type Call, type Reply } from './client.js';
import type { SlowMember } from './slow-fleet.js';

/** They live in groups of four: more of one group that fall silent at once are held, and stay listed as suspects. */
export const TYPE = 'game';
const GROUP_SIZE = 4;

interface Look {
  sentAt: number;
  receivedAt: number;
}

/** What one replica's answers said of one instance. */
interface Sight {
  seen: boolean;
  /** The last answer that showed it. */
  lastShown: Look;
  /** When the first answer without it came, after it had been seen there. */
  goneAt?: number;
  returned: boolean;
}

/** An instance that beats for a while, and then no more. Times are of the clock of this machine, which Redis has too. */
export class Life {
  /** When the last acknowledged renewal was sent: its lease cannot end before this and its ttl. */
  renewalSentAt = 0;
  /** The lease's end as Redis counts it, by the reply to that renewal. Of a registration, which does not tell it, the least that it can be. */
  endsAt = 0;
  /** It beat too late, or was answered something else: nothing can be said of it. */
  spoilt = '';
  readonly sights = new Map<SlowMember, Sight>();

  constructor(
    readonly id: string,
    readonly ttlMs: number,
  ) {}

  registered({ sentAt }: Reply) {
    [this.renewalSentAt, this.endsAt] = [sentAt, sentAt + this.ttlMs];
  }

  renewed({ sentAt, text }: Reply) {
    const endsAt = Date.parse((JSON.parse(text) as { expiresAt: string }).expiresAt);
    if (endsAt - this.ttlMs >= this.endsAt) this.spoilt = 'its heartbeat came after its end';
    [this.renewalSentAt, this.endsAt] = [sentAt, endsAt];
  }

  answered(member: SlowMember, shown: boolean, at: Look) {
    const sight = this.sights.get(member) ?? { seen: false, lastShown: at, returned: false };
    this.sights.set(member, sight);
    if (shown) {
      if (sight.goneAt !== undefined) sight.returned = true;
      sight.seen = true;
      sight.lastShown = at;
    } else if (sight.seen) sight.goneAt ??= at.receivedAt;
  }
}

export interface Living {
  stem: string;
  count: number;
  /** They begin within this time. */
  withinMs: number;
  ttlSeconds: number[];
  beatsMax: number;
}

/** How shortly before the end of a lease some beats come: a replica that does not know of them yet must not count them out. */
const closeMs = () => 40 + Math.random() * 120;

/** Lets instances live, each by calls to one of these replicas. Resolves when the last lease has ended. */
export async function live(members: SlowMember[], lives: Life[], { stem, count, withinMs, ttlSeconds, beatsMax }: Living): Promise<void> {
  const http = new Client();
  const call = async (life: Life, path: string, call: Call, status: number[]) => {
    const reply = await http.call(pick(members).replica.url, path, call).catch((error: Error) => error);
    if (!(reply instanceof Error) && status.includes(reply.status)) return reply;
    life.spoilt = reply instanceof Error ? reply.message : `${reply.status} ${reply.text}`;
    return undefined;
  };
  const one = async (n: number) => {
    await sleep(Math.random() * withinMs);
    const ttl = pick(ttlSeconds);
    const life = new Life(`${stem}-${n}`, ttl * 1000);
    lives.push(life);
    const body = { type: TYPE, group: `leases-${Math.floor(n / GROUP_SIZE)}`, instanceId: life.id, hostname: 'h.example.com', ttlSeconds: ttl };
    const registered = await call(life, '/instances', { method: 'POST', body }, [201]);
    if (!registered) return;
    life.registered(registered);
    for (let beats = Math.ceil(Math.random() * beatsMax); beats > 0; beats--) {
      const waitMs = Math.random() < 0.5 ? life.endsAt - closeMs() - Date.now() : (0.1 + Math.random() * 0.4) * life.ttlMs;
      await sleep(Math.max(0, waitMs));
      const reply = await call(life, `/instances/${life.id}/heartbeat`, { method: 'POST' }, [200]);
      if (!reply) return;
      life.renewed(reply);
    }
    await sleep(Math.max(0, life.endsAt - Date.now()));
  };
  await Promise.all(Array.from({ length: count }, (_, n) => one(n)));
  http.close();
}

/** Asks one replica again and again what is there, and notes it for every life. */
export async function poll(member: SlowMember, lives: Life[], stopped: () => boolean): Promise<number> {
  const http = new Client();
  const path = `/instances?${new URLSearchParams({ type: TYPE, limit: '10000' }).toString()}`;
  let polls = 0;
  while (!stopped()) {
    const known = [...lives];
    const { status, text, sentAt, receivedAt } = await http.call(member.replica.url, path);
    if (status !== 200) throw new Error(`discover: ${status} ${text}`);
    const shown = new Set(Array.from(text.matchAll(/"instanceId":"([^"]+)"/g), ([, id]) => id));
    for (const life of known) life.answered(member, shown.has(life.id), { sentAt, receivedAt });
    polls++;
    await sleep(20 + Math.random() * 30);
  }
  http.close();
  return polls;
}

export interface Verdict {
  early: string[];
  returned: string[];
  /** How long after its end each was shown last, in ms, and how much of that this answer took. */
  late: { ms: number; tookMs: number }[];
}

/** What the answers break of what leases promise. */
export function judge(lives: readonly Life[]): Verdict {
  const verdict: Verdict = { early: [], returned: [], late: [] };
  for (const { id, ttlMs, renewalSentAt, endsAt, sights } of lives) {
    for (const { seen, goneAt, returned, lastShown } of sights.values()) {
      if (goneAt !== undefined && goneAt < renewalSentAt + ttlMs) verdict.early.push(`${id} gone ${renewalSentAt + ttlMs - goneAt} ms before its ttl was over`);
      else if (goneAt !== undefined && goneAt < endsAt) verdict.early.push(`${id} gone ${endsAt - goneAt} ms before the end that Redis gave`);
      if (returned) verdict.returned.push(id);
      if (seen) verdict.late.push({ ms: Math.max(0, lastShown.sentAt - endsAt), tookMs: lastShown.receivedAt - lastShown.sentAt });
    }
  }
  return verdict;
}
