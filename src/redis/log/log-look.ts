import type { Change } from '../../registry/log/change.js';
import type { HistoryQuery } from '../../registry/queries.js';
import { changeFrom } from './log-entry.js';
import type { Source } from '../scripts/store.js';

/** An entry of the log, decoded when somebody wants it. */
export class LogLine {
  readonly id: string;
  #change: Change | undefined;

  /** Fields as lua/look.lua gives them. */
  constructor(readonly fields: Record<string, string>) {
    this.id = fields[':id'] as string;
  }

  /** Undefined for what somebody wrote by hand. */
  changeOf(epoch: string): Change | undefined {
    this.#change ??= changeFrom(this.id, this.fields, epoch);
    return this.#change && (this.#change.epoch === epoch ? this.#change : { ...this.#change, epoch });
  }
}

/** Some entries of the log, of which those that were asked for. */
export interface Look {
  looked: number;
  /** The last that was looked at. */
  at: string;
  ended: boolean;
  lines: LogLine[];
}

/** Which entries are wanted. */
export type Wanted = Pick<HistoryQuery, 'kinds' | 'instanceId' | 'type' | 'group'>;

/** Looks at so many entries behind this one, oldest first, or before it, latest first; '' is the end of the log from which that begins. */
export async function lookAt({ connection, scripts }: Source, direction: 'after' | 'before', at: string, count: number, wanted: Wanted = {}): Promise<Look> {
  const { kinds, instanceId = '', type = '', group = '' } = wanted;
  const args = [direction, at, count, kinds ? `,${kinds.join(',')},` : '', instanceId, type, group];
  const [looked, last, ended, json] = (await scripts.run(connection, 'look', args)) as [number, string, number, string];
  return { looked, at: last, ended: ended === 1, lines: (JSON.parse(json) as Record<string, string>[]).map((fields) => new LogLine(fields)) };
}
