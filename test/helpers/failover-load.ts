import { Agent } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'vitest';
import { send, type Reply } from './steady-load.js';
import type { Watched } from './watch-log.js';

const GROUPS = ['kr-1', 'us-1', 'eu-1'];
const TTL_SECONDS = 120;
/** Of those that beat once a second. */
const BEATING_TTL_SECONDS = 6;
const STEP_MS = 20;
const RETRY_MS = 150;
const HISTORY = 8;
/** At each step an id is left for good as it stands, and a new one takes its place: so what a failover lost is not written over. */
const RETIRE = 0.15;

/** One id, and what its owner was last told of it. Only its owner writes it, one request after the other. */
export class Life {
  /** The incarnation whose registration was acknowledged; undefined before, and after an acknowledged removal. */
  incarnation: string | undefined;
  /** The customState last acknowledged. */
  said: string | undefined;
  lives = 0;
  busy = false;
  /** Its latest requests, each with its answer and who gave it, to be read when something is wrong. */
  readonly history: string[] = [];

  constructor(
    readonly id: string,
    readonly ttlSeconds: number,
  ) {}

  tell(line: string) {
    this.history.push(`${new Date().toISOString().slice(14, 23)} ${line}`);
    if (this.history.length > HISTORY) this.history.shift();
  }

  get group() {
    return GROUPS[Number(this.id.slice(this.id.lastIndexOf('-') + 1)) % GROUPS.length] as string;
  }
}

export interface Ledger {
  lives: Life[];
  /** Times of acknowledgements, by performance.now(). */
  acked: number[];
  slowestMs: number;
  refused: number;
  /** Acknowledged registrations that the registry then did not know, and no removal in between. */
  missing: string[];
  /** The true owner was told that another process owns the id. */
  fenced: string[];
  /** Answers that no owner should get, such as 500. */
  odd: string[];
}

/** A client of the whole fleet: each request goes to the next replica, and again to the one after it until there is a definite answer. */
class Owner {
  readonly ledger: Ledger = { lives: [], acked: [], slowestMs: 0, refused: 0, missing: [], fenced: [], odd: [] };
  readonly agent = new Agent({ keepAlive: true });
  #turn = 0;

  constructor(readonly urls: string[]) {}

  /** The first answer that is not "not now"; `again` when an earlier one may have been carried out. */
  async ask(life: Life, method: string, path: string, body?: unknown): Promise<Reply & { again: boolean }> {
    for (let again = false; ; again = true) {
      const sentAt = performance.now();
      const at = this.#turn++ % this.urls.length;
      const url = this.urls[at] as string;
      const reply = await send(this.agent, `${url}/sd/v1${path}`, method, body === undefined ? undefined : JSON.stringify(body)).catch(() => undefined);
      this.ledger.slowestMs = Math.max(this.ledger.slowestMs, performance.now() - sentAt);
      const definite = reply !== undefined && reply.status !== 503;
      if (definite || !again) life.tell(`${method} ${body === undefined ? path : JSON.stringify(body)} at ${at}: ${reply?.status ?? 'no answer'}`);
      if (definite) {
        if (reply.status < 300) this.ledger.acked.push(performance.now());
        return { ...reply, again };
      }
      this.ledger.refused++;
      await sleep(RETRY_MS);
    }
  }

  async register(life: Life) {
    const incarnation = `${life.id}-life-${++life.lives}`;
    const { status, body } = await this.ask(life, 'POST', '/instances', {
      instanceId: life.id, incarnation, type: 'game', group: life.group, hostname: 'game.example.com', ttlSeconds: life.ttlSeconds, customState: incarnation,
    });
    if (status >= 300) return void this.#odd('register', life, status, body);
    [life.incarnation, life.said] = [incarnation, incarnation];
  }

  /** By a heartbeat, which names the incarnation, or by PATCH, which does not. */
  async patch(life: Life, text: string) {
    const beat = Math.random() < 0.6;
    const { status, body } = beat
      ? await this.ask(life, 'POST', `/instances/${life.id}/heartbeat`, { incarnation: life.incarnation, customState: text })
      : await this.ask(life, 'PATCH', `/instances/${life.id}`, { customState: text });
    if (status === 200) life.said = text;
    else this.#denied(beat ? 'heartbeat' : 'patch', life, status, body);
  }

  async beat(life: Life) {
    if (life.incarnation === undefined) return this.register(life);
    const { status, body } = await this.ask(life, 'POST', `/instances/${life.id}/heartbeat`, { incarnation: life.incarnation });
    if (status !== 200) this.#denied('heartbeat', life, status, body);
  }

  async remove(life: Life) {
    const { status, body, again } = await this.ask(life, 'DELETE', `/instances/${life.id}?incarnation=${life.incarnation}`);
    if (status === 204 || (status === 404 && again)) life.incarnation = life.said = undefined;
    else this.#denied('remove', life, status, body);
  }

  #denied(what: string, life: Life, status: number, body: string) {
    const line = `${what} ${life.id} ${life.incarnation}: ${status}, after ${life.history.join('; ')}`;
    if (status === 404) this.ledger.missing.push(line);
    else if (status === 409) this.ledger.fenced.push(line);
    else return this.#odd(what, life, status, body);
    life.incarnation = life.said = undefined; // as a server does: it registers again, as a new one here
  }

  #odd(what: string, life: Life, status: number, body: string) {
    this.ledger.odd.push(`${what} ${life.id}: ${status} ${body}`);
  }

  /** The next step of a life, chosen at random. */
  async step(life: Life, n: number) {
    const chance = Math.random();
    if (life.incarnation === undefined || chance < 0.2) await this.register(life);
    else if (chance < 0.7) await this.patch(life, `step-${n}`);
    else await this.remove(life);
  }
}

export interface FailoverLoad {
  ledger: Ledger;
  /** No more steps; resolves when every request under way has its definite answer. */
  stop: () => Promise<void>;
}

export interface LoadSetup {
  /** Registrations, patches and removals a second. */
  perSecond: number;
  /** Ids that change. */
  ids: number;
  /** Instances that only beat, once a second each. */
  beating: number;
}

/** Owners of a bounded set of ids who register, patch and remove them, and servers that only beat. */
export async function startFailoverLoad(urls: string[], { perSecond, ids, beating }: LoadSetup): Promise<FailoverLoad> {
  const owner = new Owner(urls);
  const { lives } = owner.ledger;
  let named = 0;
  const newLife = (stem: string, ttlSeconds = TTL_SECONDS) => {
    const life = new Life(`${stem}-${named++}`, ttlSeconds);
    lives.push(life);
    return life;
  };
  const beaters = Array.from({ length: beating }, () => newLife('beats', BEATING_TTL_SECONDS));
  await Promise.all(beaters.map((life) => owner.register(life)));
  const changing = Array.from({ length: ids }, () => newLife('id'));

  let stopped = false;
  const underWay = new Set<Promise<void>>();
  const run = (life: Life, work: Promise<void>) => {
    life.busy = true;
    const done = work.finally(() => {
      life.busy = false;
      underWay.delete(done);
    });
    underWay.add(done);
  };
  const churn = async () => {
    const startedAt = performance.now();
    for (let n = 0; !stopped; await sleep(STEP_MS)) {
      const due = ((performance.now() - startedAt) / 1000) * perSecond;
      for (let looked = 0; n < due && looked < ids; looked++) {
        const at = (n + looked) % ids;
        const life = changing[at] as Life;
        if (life.busy) continue;
        if (life.lives > 0 && Math.random() < RETIRE) changing[at] = newLife('id');
        run(changing[at] as Life, owner.step(changing[at] as Life, n++));
      }
      n = Math.max(n, Math.floor(due) - ids); // what an outage held up is not made up for
    }
  };
  const beat = async () => {
    for (; !stopped; await sleep(1000)) for (const life of beaters) if (!life.busy) run(life, owner.beat(life));
  };
  const loops = [churn(), beat()];
  return {
    ledger: owner.ledger,
    stop: async () => {
      stopped = true;
      await Promise.all(loops);
      while (underWay.size > 0) await Promise.all(underWay);
      owner.agent.destroy();
    },
  };
}

/** The longest time without an acknowledged write from this moment on, in ms. */
export function longestGap({ acked }: Ledger, from: number): number {
  const times = [from, ...acked.filter((at) => at > from).sort((a, b) => a - b)];
  return Math.max(...times.slice(1).map((at, i) => at - (times[i] as number)));
}

/**
 * What owners were told last is what is there: no registration is missing, and no owner was fenced. Removed instances that came
 * back, and patches that were undone, are counted: a removal that no replica had read when Redis lost it may come back for a ttl.
 */
export function expectKept({ lives, missing, fenced, odd }: Ledger, there: ReadonlyMap<string, Watched>) {
  const wrong = { missing: [] as string[], replaced: [] as string[], undone: [] as string[], revived: [] as string[] };
  for (const { id, incarnation, said, history } of lives) {
    const found = there.get(id);
    if (incarnation === undefined) {
      if (found) wrong.revived.push(id);
    } else if (!found) wrong.missing.push(`${id} ${incarnation}, after ${history.join('; ')}`);
    else if (found.incarnation !== incarnation) wrong.replaced.push(`${id} ${incarnation}, but ${String(found.incarnation)} is there, after ${history.join('; ')}`);
    else if (found.customState !== said) wrong.undone.push(`${id} ${said}, but ${String(found.customState)} is there`);
  }
  expect({ missing: wrong.missing, unknown: missing, replaced: wrong.replaced, fenced, odd }).toEqual({ missing: [], unknown: [], replaced: [], fenced: [], odd: [] });
  return { live: there.size, undone: wrong.undone.length, revived: wrong.revived.length };
}
