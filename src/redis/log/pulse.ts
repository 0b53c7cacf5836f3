import type { Connection } from '../connect/connection.js';
import type { Scripts } from '../scripts/scripts.js';

/** What Redis says of itself with every read. */
export interface Pulse {
  /** Ms of the clock of Redis. */
  nowMs: number;
  graceFromMs: number;
  /** End of the last outage that is too short for a grace of any but short leases. */
  lullFromMs: number;
  epoch: string;
  epochAtMs: number;
  /** Id of the last event; '' when there is none. */
  head: string;
  sweptAtMs: number;
  /** Up to when it is decided of all lapses whether their groups are held. */
  judgedMs: number;
  /** Until when those who give back what Redis has lost may still be at it; 0 when nobody is. */
  speakingUntilMs: number;
  /** The epoch began with nothing, and nobody has given back what may have been there before. */
  fromNothing: boolean;
  /** What a replica told last of its content (divergence.ts); '' for nothing. */
  said: string;
}

export function decodePulse(reply: unknown): Pulse {
  const [nowMs, graceFromMs, epoch = '', epochAtMs, head = '', sweptAtMs, judgedMs, lullFromMs, speakingUntilMs, fromNothing, said = ''] = reply as string[];
  const times = { nowMs: Number(nowMs), graceFromMs: Number(graceFromMs), epochAtMs: Number(epochAtMs), sweptAtMs: Number(sweptAtMs), judgedMs: Number(judgedMs), lullFromMs: Number(lullFromMs) };
  return { epoch, head, ...times, speakingUntilMs: Number(speakingUntilMs), fromNothing: fromNothing === '1', said };
}

export async function takePulse(connection: Connection, scripts: Scripts): Promise<Pulse> {
  return decodePulse(await scripts.run(connection, 'pulse', ['']));
}
