import type { Instance, Status } from '../../contract/index.js';
import { beginningTag, type ContentTag } from './content-tag.js';
import { interned } from './text.js';

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

/** An instance whose absent parts may be named all the same: objects of one shape are written as JSON much quicker. */
export type Described = { [Part in keyof Instance]: Instance[Part] | undefined } & Pick<Instance, Stated>;
type Stated = { [Part in keyof Instance]-?: undefined extends Instance[Part] ? never : Part }[keyof Instance];

/**
 * Each change and each record of a load comes through here, so the JSON is made in one piece, and nothing is cut or copied: `head` is a
 * view of all but its last letter, and the tag is of what stands before the stamps. The order of the parts is the tag's, and so the
 * same in all versions that may run side by side.
 */
export function logRecord(described: Described): LogRecord {
  const { instanceId, incarnation, type, group, hostname, publicIp, privateIp, ports, status, customState, cordoned } = described;
  const { systemInfo, check, health, suspect, ttlSeconds, registeredAt, updatedAt, performance } = described;
  const labels = Object.keys(described.labels).length > 0 ? sorted(described.labels) : NO_LABELS;
  const text = JSON.stringify({
    instanceId, incarnation, type, group, hostname, publicIp, privateIp, ports, status, customState, cordoned, labels,
    systemInfo, check, health, suspect, ttlSeconds, registeredAt, updatedAt,
  });
  const stamps = JSON.stringify(registeredAt).length + JSON.stringify(updatedAt).length + STAMPS;
  return {
    instanceId,
    type: interned(type),
    group: interned(group),
    status,
    cordoned,
    labels,
    ttlMs: ttlSeconds * 1000,
    registeredAtMs: msOf(registeredAt),
    renewedAtMs: msOf(described.lastHeartbeat),
    expiresAtMs: msOf(described.expiresAt),
    performance: performance && JSON.stringify(performance),
    head: text.slice(0, -1),
    tag: beginningTag(text, text.length - stamps, '}'), // as if the stamps were not there
  };
}

/** Letters around the stamps. */
const STAMPS = ',"registeredAt":,"updatedAt":}'.length;

/** The same record, in the memory of another one that says the same. */
export function sharing(record: LogRecord, other: LogRecord): LogRecord {
  if (record.head !== other.head) return record;
  const { instanceId, labels, head, tag } = other;
  return { ...record, instanceId, labels, head, tag };
}

/** As a table keeps it, which has the latest performance beside it. */
export const withoutPerformance = (record: LogRecord): LogRecord => (record.performance === undefined ? record : { ...record, performance: undefined });

/** 0 for what is no date: a Hash that somebody spoilt by hand must not spoil the arithmetic of leases. */
export const msOf = (iso: string) => Date.parse(iso) || 0;

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
  performance: string | undefined;
  renewedAtMs: number;
  expiresAtMs: number;
}

/** An instance as JSON. `more` is further members, such as `,"departed":{…}`; `suspect`: past its end, and listed for a hold of its group. */
export function instanceJson({ head }: LogRecord, renewal: Renewal, more = '', suspect = false): string {
  const { performance, renewedAtMs, expiresAtMs } = renewal;
  const marked = suspect ? ',"suspect":true' : '';
  const riding = performance === undefined ? '' : `,"performance":${performance}`;
  return `${head}${marked}${riding},"lastHeartbeat":"${isoOf(renewedAtMs)}","expiresAt":"${isoOf(expiresAtMs)}"${more}}`;
}
