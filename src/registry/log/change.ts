import type { ChangeKind } from '../../contract/index.js';
import { instanceJson, isoOf, type LogRecord } from './record.js';
import { homeKey, type Home } from '../home.js';
import type { Hold } from '../hold.js';
import { holdJson } from '../hold.js';
import { msOfId, revisionOf } from '../revision.js';
import { inScope, type Scope } from '../scope.js';

/** One entry of the log of changes, as every replica reads it. */
export interface Change {
  epoch: string;
  /** Entry id, `<ms>-<seq>`. */
  id: string;
  /** Id of the entry before it; '' for the first of an epoch. */
  prev: string;
  /** Undefined: a kind that this version does not know. It only moves the position on. */
  kind: ChangeKind | undefined;
  /** What led to it: register, adopt, heartbeat, patch, deregister, lease, recovery, replay, mass-lapse, time, operator. */
  cause: string;
  /** Name of the token that caused it. */
  by?: string;
  /** The incarnation that a registration took the place of, and whether that had lapsed by then. */
  replaces?: string;
  lapsed?: boolean;
  /** Where a registration moved the id from. */
  from?: Home | undefined;
  /** The end of the lease that expired, ISO 8601. */
  deadline?: string;
  /** Of what was written again after a loss: id of the entry that it is from. */
  of?: string;
  /** Of `held` and `released`, which are about a group. */
  hold?: Hold;
  /** The record after it; for a departure, before it; for a hold, only its type and group. */
  record: LogRecord;
  /** It says nothing that watchers do not know: what was lost and is restored has not changed. */
  known?: boolean;
}

/** An instance that has left, and how. */
export interface Departure {
  kind: 'removed' | 'expired';
  atMs: number;
  change: Change;
}

/** The change as it may be told to whom this scope limits: where an instance came from is not everybody's to know. */
export const withinScope = (change: Change, scope: Scope | undefined): Change =>
  change.from && !inScope(scope, change.from) ? { ...change, from: undefined } : change;

export const isDeparture = ({ kind }: Pick<Change, 'kind'>): boolean => kind === 'removed' || kind === 'expired';

export const departureOf = (change: Change): Departure => ({ kind: change.kind as 'removed' | 'expired', atMs: msOfId(change.id), change });

/** How an instance left, as JSON. */
export function departureJson({ kind, atMs, change: { cause, by, deadline } }: Departure): string {
  return JSON.stringify({ kind, cause, at: isoOf(atMs), by, deadline });
}

/** A change as JSON, with its position. */
export function changeJson({ epoch, id, kind, cause, by, replaces, lapsed, from, deadline, hold, record }: Change): string {
  const { type, group } = record;
  const about = JSON.stringify({ kind, revision: revisionOf({ epoch, id }), at: isoOf(msOfId(id)), cause, by, replaces, lapsed, from, deadline, hold: hold && { type, group, ...holdJson(hold) } });
  if (hold) return about;
  return `${about.slice(0, -1)},"instance":${instanceJson(record, record)}}`;
}

/** What those see of a registration whose watched home the instance has left by it: it is gone from there. */
export function departureByMoveJson({ epoch, id, by, replaces, from, record }: Change, mayTellWhere: boolean): string {
  const { instanceId, type, group } = record;
  const instance = { instanceId, incarnation: replaces, ...from };
  return JSON.stringify({ kind: 'removed', revision: revisionOf({ epoch, id }), at: isoOf(msOfId(id)), cause: 'moved', by, ...(mayTellWhere && { to: { type, group } }), instance });
}

/** What was written again after a loss tells watchers nothing, where it says what they know. */
export function isKnown(change: Change, known: LogRecord | undefined): boolean {
  if (isDeparture(change)) return change.of !== undefined && !known;
  if (change.kind === 'updated' || !known) return false;
  return known.tag.hi === change.record.tag.hi && known.tag.lo === change.record.tag.lo && homeKey(known) === homeKey(change.record);
}

/** After a loss the store does not know where an instance was, and those who watch the old home are to be told. */
export function noteMove(change: Change, known: LogRecord | undefined) {
  if (!known || isDeparture(change) || homeKey(known) === homeKey(change.record)) return;
  change.from ??= { type: known.type, group: known.group };
}
