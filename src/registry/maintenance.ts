export interface SweepResult {
  /** `<type>:<group>:<id>` of those evicted by this call. */
  evicted: string[];
  /** Leases found to end later, by grace. */
  rescored: number;
  /** Ended leases that stay, because their group is held: the next call passes them by. */
  held: number;
  /** There may be more to evict. */
  more: boolean;
}

/** What jobs do to the store, on one replica at a time. Every call may be repeated or run twice. */
export interface Maintenance {
  /** Evicts a bounded batch of ended leases, those after the first `skip`. */
  sweep(skip?: number): Promise<SweepResult>;
  /** Takes the turn to reconcile, for as long as `everyMs`. False: another replica had it. */
  claimReconcile(everyMs: number): Promise<boolean>;
  /** Compares what the store's documented keys say with the leases, in small steps. */
  reconcile(signal: AbortSignal): Promise<{ removed: number; adopted: string[] }>;
}
