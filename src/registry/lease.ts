export interface LeaseState {
  /** The end written at the last renewal, in ms of the store's clock. */
  scoreMs: number;
  ttlMs: number;
  /** When the last outage was over, in ms of the store's clock; 0 if there was none. */
  graceFromMs: number;
}

/** When a lease ends. The same rule as `lease_end` in lua/include/grace.lua: change both or neither. */
export const leaseEndMs = ({ scoreMs, ttlMs, graceFromMs }: LeaseState) => Math.max(scoreMs, graceFromMs + ttlMs);

/** How often an instance with this lease should beat: three chances a lease, and no more often than the operator wants. */
export const heartbeatIntervalMs = (ttlMs: number, configuredMs: number) => Math.floor(Math.min(configuredMs, ttlMs / 3));
