import { homeKey, type Home } from '../../src/registry/home.js';

/** What the small model remembers of an instance: only what the outside may rely on. */
export interface Known {
  home: Home;
  incarnation: string;
  hostname: string;
  status: string;
  customState: string;
  labels: Record<string, string>;
  cordoned: boolean;
  lapsed: boolean;
  face: boolean;
}

export interface Patch {
  status?: 'ready' | 'error';
  customState?: string | null;
  labels?: Record<string, string | null>;
  cordoned?: boolean;
}

export interface Logged {
  kind: string;
  cause: string;
  id: string;
  incarnation?: string;
  replaces?: string;
  lapsed?: string;
  fromGroup?: string;
}

/** The registry as DESIGN describes it, in memory and without time: a lease is lapsed or not, a grace is on or off. */
export class Model {
  readonly instances = new Map<string, Known>();
  readonly log: Logged[] = [];
  /** Set members that somebody wrote by hand, as `<type>:<group>:<id>`. */
  readonly strays = new Set<string>();
  /** Faces that somebody wrote by hand, and where. */
  readonly handwritten = new Map<string, Home>();
  readonly groups = new Set<string>();
  grace = false;

  isLive = (known: Known | undefined): known is Known => known !== undefined && (!known.lapsed || this.grace);

  members(): string[] {
    const placed = [...this.instances].map(([id, { home }]) => `${homeKey(home)}:${id}`);
    return [...new Set([...placed, ...this.strays])].sort();
  }

  register(id: string, given: Omit<Known, 'lapsed' | 'face' | 'cordoned'>, from?: Home | null): string {
    const old = this.instances.get(id);
    if (old && from !== undefined && (from ? homeKey(from) : '') !== homeKey(old.home)) return 'forbidden';
    const same = old?.incarnation === given.incarnation && homeKey(old.home) === homeKey(given.home);
    const moved = old && homeKey(old.home) !== homeKey(given.home);
    const changed = old && content(old) !== content({ ...old, ...given });
    const event = { id, incarnation: given.incarnation };
    if (!same) {
      const about = old && {
        replaces: old.incarnation,
        lapsed: this.isLive(old) ? '0' : '1',
        ...(moved && { fromGroup: old.home.group }),
      };
      this.log.push({ kind: 'registered', cause: 'register', ...event, ...about });
    } else if (changed) this.log.push({ kind: 'updated', cause: 'register', ...event });
    if (moved) this.#leave(id, old.home);
    this.instances.set(id, { ...given, labels: { ...given.labels }, cordoned: old?.cordoned ?? false, lapsed: false, face: true });
    this.handwritten.delete(id);
    this.strays.delete(`${homeKey(given.home)}:${id}`);
    this.groups.add(homeKey(given.home));
    return old ? (same ? 'repeated' : 'replaced') : 'created';
  }

  heartbeat(id: string, guards: { incarnation?: string; home?: Home }, patch: Patch): number {
    const known = this.instances.get(id);
    if (!known || (guards.home && homeKey(guards.home) !== homeKey(known.home))) return 404;
    if (guards.incarnation !== undefined && guards.incarnation !== known.incarnation) return 409;
    Object.assign(known, { lapsed: false, face: true });
    this.#change(id, known, patch, 'heartbeat');
    return 200;
  }

  /** Several changes of one id in one call are told once, as what is left of them at its end, in the order of the first. */
  heartbeats(beats: { id: string; guards: { incarnation?: string; home?: Home }; patch: Patch }[]): number[] {
    const [from, before] = [this.log.length, new Map([...this.instances].map(([id, known]) => [id, content(known)] as const))];
    const statuses = beats.map(({ id, guards, patch }) => this.heartbeat(id, guards, patch));
    const told = this.log.splice(from).map((entry) => entry.id);
    const changed = beats.filter(({ patch }, i) => statuses[i] === 200 && Object.keys(patch).length > 0).map(({ id }) => id);
    for (const id of new Set(changed.filter((one) => told.includes(one)))) {
      const known = this.instances.get(id) as Known;
      if (content(known) !== before.get(id)) this.log.push({ kind: 'updated', cause: 'heartbeat', id, incarnation: known.incarnation });
    }
    return statuses;
  }

  patch(id: string, patch: Patch, home?: Home): number {
    const known = this.instances.get(id);
    if (!this.isLive(known) || (home && homeKey(home) !== homeKey(known.home))) return 404;
    this.#change(id, known, patch, 'patch');
    return 200;
  }

  remove(id: string, guard: { group?: string; incarnation?: string }): number {
    const known = this.instances.get(id);
    if (!known || (guard.group !== undefined && guard.group !== known.home.group)) return 404;
    if (guard.incarnation !== undefined && guard.incarnation !== known.incarnation) return 409;
    this.log.push({ kind: 'removed', cause: 'deregister', id, incarnation: known.incarnation });
    this.#forget(id, known);
    return 204;
  }

  lapse(id: string) {
    const known = this.instances.get(id);
    if (known) Object.assign(known, { lapsed: true, face: false });
  }

  /** Which ids go, in no order: within one sweep they lapsed together. */
  sweep(): string[] {
    const lapsed = [...this.instances].filter(([, known]) => known.lapsed);
    for (const [, known] of lapsed) if (this.grace) known.lapsed = false; // its lease is written anew: one ttl from the return
    const ended = this.grace ? [] : lapsed;
    for (const [id, known] of ended) {
      this.log.push({ kind: 'expired', cause: 'lease', id, incarnation: known.incarnation });
      this.#forget(id, known);
    }
    return ended.map(([id]) => id).sort();
  }

  reconcile(): { removed: number; adopted: string[] } {
    const adopted: string[] = [];
    let removed = 0;
    for (const stray of [...this.strays]) {
      const [id, home] = [stray.slice(stray.lastIndexOf(':') + 1), stray.slice(0, stray.lastIndexOf(':'))];
      if (this.handwritten.has(id)) continue;
      this.strays.delete(stray);
      this.#dropEmpty(home);
      removed++;
    }
    for (const [id, home] of this.handwritten) {
      this.strays.delete(`${homeKey(home)}:${id}`);
      this.groups.add(homeKey(home));
      adopted.push(id);
    }
    this.handwritten.clear();
    return { removed, adopted };
  }

  #change(id: string, known: Known, patch: Patch, cause: string) {
    const before = content(known);
    const { labels, customState, ...rest } = patch;
    Object.assign(known, rest);
    if (customState !== undefined) known.customState = customState ?? '';
    for (const [key, value] of Object.entries(labels ?? {})) {
      if (value === null) delete known.labels[key];
      else known.labels[key] = value;
    }
    if (content(known) !== before) this.log.push({ kind: 'updated', cause, id, incarnation: known.incarnation });
  }

  #forget(id: string, { home }: Known) {
    this.instances.delete(id);
    this.#leave(id, home);
  }

  #leave(id: string, home: Home) {
    this.strays.delete(`${homeKey(home)}:${id}`);
    this.#dropEmpty(homeKey(home), id);
  }

  #dropEmpty(home: string, leaving?: string) {
    const left = this.members().some((member) => member !== `${home}:${leaving}` && member.startsWith(`${home}:`));
    if (!left) this.groups.delete(home);
  }
}

const content = ({ hostname, status, customState, labels, cordoned }: Known) =>
  JSON.stringify([hostname, status, customState, Object.entries(labels).sort(), cordoned]);
