import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import type { Instance } from '../../src/contract/index.js';
import type { Change } from '../../src/registry/log/change.js';
import { logRecord, type LogRecord } from '../../src/registry/log/record.js';
import { complete } from '../helpers/store.js';

/** A moment of the store's clock from which tests count. */
export const T0 = Date.parse('2026-01-01T00:00:00.000Z');
export const EPOCH = '1x1';

export const idAt = (ms: number, seq = 1) => `${ms}-${seq}`;
const iso = (ms: number) => new Date(ms).toISOString();

export interface Sample extends Partial<Omit<Instance, 'registeredAt' | 'updatedAt' | 'lastHeartbeat' | 'expiresAt'>> {
  /** Registered and last renewed at, in ms of the store's clock. */
  bornMs?: number;
  renewedMs?: number;
}

/** A record, right in every field that a test does not care about. */
export function record({ bornMs = T0, renewedMs = bornMs, ...fields }: Sample = {}): LogRecord {
  const ttlSeconds = fields.ttlSeconds ?? 30;
  return logRecord({
    ...complete(),
    cordoned: false,
    labels: {},
    ...fields,
    ttlSeconds,
    registeredAt: iso(bornMs),
    updatedAt: iso(bornMs),
    lastHeartbeat: iso(renewedMs),
    expiresAt: iso(renewedMs + ttlSeconds * 1000),
  });
}

/** An entry of the log about this record. */
export const change = (id: string, kind: Change['kind'], of: LogRecord, more: Partial<Change> = {}): Change => ({
  epoch: EPOCH,
  id,
  prev: '',
  kind,
  cause: 'register',
  record: of,
  ...more,
});

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

/** What is really held, in MB. */
export function heapMb(): number {
  collectGarbage();
  return process.memoryUsage().heapUsed / 1e6;
}
