export interface LeaseState {
  /** The end written at the last renewal, in ms of the store's clock. */
  scoreMs: number;
  ttlMs: number;
  /** When the last outage was over, in ms of the store's clock; 0 if there was none. */
  graceFromMs: number;
  /** The same of one so short that it used up short leases only. */
  lullFromMs?: number;
}

/** Leases that miss more than a heartbeat in an outage of 1 to 3 s. The same as in lua/include/grace.lua. */
export const SHORT_LEASE_MS = 9000;

/** When a lease ends. The same rule as `lease_end` in lua/include/grace.lua: change both or neither. */
export const leaseEndMs = ({ scoreMs, ttlMs, graceFromMs, lullFromMs = 0 }: LeaseState) =>
  Math.max(scoreMs, (ttlMs > SHORT_LEASE_MS ? graceFromMs : Math.max(graceFromMs, lullFromMs)) + ttlMs);

/** How an instance is shown: one that is past its end while its group is held (a mass lapse) as a suspect. */
export type Standing = 'live' | 'suspect' | 'lapsed';

/** All in ms of the store's clock; `heldUntilMs` is 0 while the group is not held. */
export function standingOf(endMs: number, heldUntilMs: number, watermarkMs: number): Standing {
  if (endMs > watermarkMs) return 'live';
  return heldUntilMs > watermarkMs ? 'suspect' : 'lapsed';
}

/** How often an instance with this lease should beat: three chances a lease, and no more often than the operator wants. */
export const heartbeatIntervalMs = (ttlMs: number, configuredMs: number) => Math.floor(Math.min(configuredMs, ttlMs / 3));
