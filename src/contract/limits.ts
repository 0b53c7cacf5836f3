// Plain values, without schemas: a client takes them from here, and the library of schemas not with them.

/** Heartbeats in one batch. */
export const MAX_BEATS = 1000;
/** Instances on one page: of a whole group, and of anything else unless it is asked for. */
export const MAX_LIMIT = 10_000;
export const DEFAULT_LIMIT = 1000;
/** With healthCheck: probing is work for the gateway and its network. */
export const MAX_PROBED = 500;
/** Longer a lock is not held without being renewed, nor waited for. */
export const MAX_LOCK_SECONDS = 3600;
export const MAX_LOCK_WAIT_MS = 30_000;

export const INSTANCE_KINDS = ['registered', 'updated', 'removed', 'expired', 'restored'] as const;
export const HOLD_KINDS = ['held', 'released'] as const;
export const CHANGE_KINDS = [...INSTANCE_KINDS, ...HOLD_KINDS] as const;
/** What a change can be. */
export type ChangeKind = (typeof CHANGE_KINDS)[number];
