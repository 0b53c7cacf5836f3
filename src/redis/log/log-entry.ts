import { CHANGE_KINDS } from '../../contract/index.js';
import type { Change } from '../../registry/log/change.js';
import type { Hold } from '../../registry/hold.js';
import { logRecord } from '../../registry/log/record.js';
import { msOfId } from '../../registry/revision.js';
import { interned } from '../../registry/log/text.js';
import { decodeDescribed, pairs } from '../scripts/codec.js';

/** An entry of a stream as ioredis gives it. */
export type Entry = [id: string, flat: string[]];

/** A change from its entry in the log, or undefined for what somebody wrote there by hand: the chain goes past it. */
export const decodeChange = ([id, flat]: Entry, epoch: string) => changeFrom(id, pairs(flat), epoch);

/** The same from fields by name. The record of a kind that is not known here is read all the same, and nothing is done with it. */
export function changeFrom(id: string, fields: Record<string, string>, epoch: string): Change | undefined {
  const { prev, kind, cause = '', by, replaces, lapsed, fromType, fromGroup, deadline, of } = fields;
  if (prev === undefined || kind === undefined) return undefined;
  return {
    epoch,
    id,
    prev,
    kind: CHANGE_KINDS.find((known) => known === kind),
    cause: interned(cause),
    ...(by !== undefined && { by }),
    ...(replaces !== undefined && { replaces }),
    ...(lapsed !== undefined && { lapsed: lapsed === '1' }),
    ...(fromType !== undefined && fromGroup !== undefined && { from: { type: fromType, group: fromGroup } }),
    ...(deadline !== undefined && { deadline }),
    ...(of !== undefined && { of }),
    ...((kind === 'held' || kind === 'released') && { hold: holdOf(fields) }),
    record: logRecord(decodeDescribed(fields)),
  };
}

function holdOf({ since = '', until = '', late, members }: Record<string, string>): Hold {
  return { sinceMs: Date.parse(since) || 0, untilMs: Date.parse(until) || 0, late: Number(late) || 0, members: Number(members) || 0 };
}

/** Who was renewed by one entry of the beats, when, and the `performance` that came with each, if any did. */
export function decodeBeats([id, flat]: Entry): { ids: string[]; atMs: number; performances: string[] | undefined } {
  const { ids = '', performance, at } = pairs(flat);
  return { ids: ids.split(' '), atMs: at === undefined ? msOfId(id) : Number(at), performances: performance?.split('\n').map((text) => (isJson(text) ? text : '')) };
}

function isJson(text: string): boolean {
  try {
    return text === '' || typeof JSON.parse(text) === 'object';
  } catch {
    return false;
  }
}
