import type { Instance, Status } from '../contract/index.js';
import { contentTag, type ContentTag } from './content-tag.js';
import { flat, interned } from './text.js';

/**
 * A record as the log tells it, never changed afterwards: what is needed to choose by, and the rest as JSON text that is
 * made once and copied into every answer and event.
 */
export interface LogRecord {
  readonly instanceId: string;
  readonly type: string;
  readonly group: string;
  readonly status: Status;
  readonly cordoned: boolean;
  readonly labels: Readonly<Record<string, string>>;
  readonly ttlMs: number;
  readonly registeredAtMs: number;
  readonly renewedAtMs: number;
  readonly expiresAtMs: number;
  /** JSON, or undefined. It rides the heartbeats, so it is no part of `head`. */
  readonly performance: string | undefined;
  /** The instance as JSON, without what heartbeats change and without the closing brace. */
  readonly head: string;
  /** Of what counts as a change; the same content has the same tag on every replica. */
  readonly tag: ContentTag;
}

const NO_LABELS = Object.freeze({});

const isSorted = (keys: string[]) => keys.every((key, i) => i === 0 || (keys[i - 1] as string) < key);
const sorted = (labels: Record<string, string>) =>
  isSorted(Object.keys(labels)) ? labels : Object.fromEntries(Object.entries(labels).sort(([a], [b]) => (a < b ? -1 : 1)));

export function logRecord(instance: Instance): LogRecord {
  const { performance, registeredAt, updatedAt, lastHeartbeat, expiresAt, ...rest } = instance;
  const labels = Object.keys(rest.labels).length > 0 ? sorted(rest.labels) : NO_LABELS;
  const content = JSON.stringify({ ...rest, labels });
  return {
    instanceId: rest.instanceId,
    type: interned(rest.type),
    group: interned(rest.group),
    status: rest.status,
    cordoned: rest.cordoned,
    labels,
    ttlMs: rest.ttlSeconds * 1000,
    registeredAtMs: msOf(registeredAt),
    renewedAtMs: msOf(lastHeartbeat),
    expiresAtMs: msOf(expiresAt),
    performance: performance && JSON.stringify(performance),
    head: flat(`${content.slice(0, -1)},"registeredAt":${JSON.stringify(registeredAt)},"updatedAt":${JSON.stringify(updatedAt)}`),
    tag: contentTag(content),
  };
}

/** The same record, in the memory of another one that says the same. */
export function sharing(record: LogRecord, other: LogRecord, otherPerformance = other.performance): LogRecord {
  const performance = record.performance === otherPerformance ? otherPerformance : record.performance;
  if (record.head !== other.head) return record;
  const { instanceId, labels, head, tag } = other;
  return { ...record, instanceId, labels, head, tag, performance };
}

/** As a table keeps it, which has the latest performance beside it. */
export const withoutPerformance = (record: LogRecord): LogRecord => (record.performance === undefined ? record : { ...record, performance: undefined });

/** 0 for what is no date: a Hash that somebody spoilt by hand must not spoil the arithmetic of leases. */
const msOf = (iso: string) => Date.parse(iso) || 0;

/** Heartbeats of one batch share their time, and writing a date is slow beside the rest. */
let lastIso = { ms: NaN, text: '' };
export function isoOf(ms: number): string {
  if (lastIso.ms !== ms) lastIso = { ms, text: new Date(ms).toISOString() };
  return lastIso.text;
}

/** Read off the text: it is seldom asked for, and 100,000 of them are some megabytes. */
export const incarnationOf = ({ head }: LogRecord) => /"incarnation":"([^"]*)"/.exec(head)?.[1] ?? '';

/** What heartbeats change of an instance. */
export interface Renewal {
  /** Past its end, and listed for a hold of its group. */
  suspect?: boolean;
  performance: string | undefined;
  renewedAtMs: number;
  expiresAtMs: number;
}

/** An instance as JSON. `more` is further members, such as `,"departed":{…}`; `suspect` is what it was, where that may have changed since. */
export function instanceJson({ head }: LogRecord, renewal: Renewal, more = '', suspect = renewal.suspect): string {
  const { performance, renewedAtMs, expiresAtMs } = renewal;
  const marked = suspect ? ',"suspect":true' : '';
  const riding = performance === undefined ? '' : `,"performance":${performance}`;
  return `${head}${marked}${riding},"lastHeartbeat":"${isoOf(renewedAtMs)}","expiresAt":"${isoOf(expiresAtMs)}"${more}}`;
}
