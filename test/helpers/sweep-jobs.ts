import type { Redis } from 'ioredis';
import { jobsPrefix } from '../../src/redis/scripts/keys.js';
import { FLEET_PREFIX } from './fleet.js';

/** BullMQ's keys of the sweep. */
export const QUEUE_STEM = `${jobsPrefix(FLEET_PREFIX)}:sweep`;

/** What BullMQ's own event stream says of the jobs, oldest first: their ids by kind. */
export async function jobEvents(raw: Redis) {
  const entries = await raw.xrange(`${QUEUE_STEM}:events`, '-', '+');
  const events = entries.map(([, flat]) => ({ kind: flat[flat.indexOf('event') + 1], id: flat[flat.indexOf('jobId') + 1] ?? '' }));
  const ids = (kind: string) => events.filter((event) => event.kind === kind).map(({ id }) => id);
  return { completed: ids('completed'), failed: ids('failed'), active: ids('active'), stalled: ids('stalled') };
}
