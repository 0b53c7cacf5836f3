import { readFileSync, writeFileSync } from 'node:fs';

/** All times are Date.now() of the process that drives the run: also Redis' clock while nobody sets it. */
export interface Run {
  t: 'run';
  seed: number;
  ms: number;
  ttlMs: number;
  at: number;
}

/** One call for one instance. `status` 0: no answer. */
export interface Try {
  t: 'try';
  verb: 'register' | 'move' | 'patch' | 'remove' | 'beat';
  id: string;
  /** Which life of it. */
  inc: string;
  /** Where it is to be, and the number in its label: what a registration says. */
  group: string;
  v: number;
  /** Tries of one operation share its number; 0 for heartbeats. */
  op: number;
  replica: number;
  sentAt: number;
  receivedAt: number;
  status: number;
}

/** id, incarnation, number in the label, 1 if suspect. */
export type Shown = [string, string, number, number];

export interface Answer {
  t: 'answer';
  replica: number;
  group: string;
  sentAt: number;
  receivedAt: number;
  /** X-Stale-Seconds; absent: says that it is fresh. */
  staleS?: number;
  recovering?: boolean;
  strong?: boolean;
  revision: string;
  list: Shown[];
}

export interface Frame {
  t: 'frame';
  watcher: number;
  /** What it watches; '' is everything. */
  group: string;
  replica: number;
  connection: number;
  at: number;
  event: string;
  /** Of the frame: `<epoch>.<entry>`. */
  revision?: string;
  id?: string;
  inc?: string;
  v?: number;
  cause?: string;
  of?: string;
  list?: Shown[];
}

/** An entry of the log as Redis held it. */
export interface Entry {
  t: 'entry';
  at: number;
  /** The one in force when it was first seen. */
  epoch: string;
  entry: string;
  kind: string;
  cause: string;
  id: string;
  inc: string;
  group: string;
  fromGroup?: string;
  replaces?: string;
  /** `held`: when it ends; `expired`: when the lease ended. */
  until?: string;
  deadline?: string;
}

/** `to`: when it was surely over, with what it takes to come back. */
export interface Struck {
  t: 'fault';
  kind: string;
  replica?: number;
  value?: number;
  from: number;
  to: number;
}

/** What Redis says of itself: another epoch, the end of an outage, the end of a short one. */
export interface Sight {
  t: 'epoch' | 'grace' | 'lull';
  at: number;
  value: string;
}

/** The process that drives the run was held up itself. */
export interface Pause {
  t: 'pause';
  at: number;
  ms: number;
}

/** What all say when it is quiet. */
export interface Ending {
  t: 'ending';
  at: number;
  replicas: { tags: string; list: Shown[] }[];
  /** Leases in Redis: id, group, and of its record incarnation and label. */
  redis: [string, string, string, number][];
  watchers: { group: string; list: Shown[] }[];
  /** Who lives, by the owners: id, incarnation, number, group. */
  owners: [string, string, number, string][];
}

export type Happened = Run | Try | Answer | Frame | Entry | Struck | Sight | Pause | Ending;
type Of<T extends Happened['t']> = Extract<Happened, { t: T }>;

/** Everything that happened in a run, to be judged now or later. */
export class History {
  constructor(readonly all: Happened[] = []) {}

  add(happened: Happened) {
    this.all.push(happened);
  }

  of<T extends Happened['t']>(t: T): Of<T>[] {
    return this.all.filter((each) => each.t === t) as Of<T>[];
  }

  save(file: string) {
    writeFileSync(file, this.all.map((each) => JSON.stringify(each)).join('\n'));
  }

  static read(file: string): History {
    return new History(readFileSync(file, 'utf8').split('\n').filter(Boolean).map((line) => JSON.parse(line) as Happened));
  }
}
