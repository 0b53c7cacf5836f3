/** Most of a group fell silent at once: nobody of it is evicted before `untilMs`, by the store's clock (lua/include/hold.lua). */
export interface Hold {
  sinceMs: number;
  untilMs: number;
  /** How many were late when it began, of how many. */
  late: number;
  members: number;
}

/** A hold as people are told of it. */
export function holdJson({ sinceMs, untilMs, late, members }: Hold) {
  return { since: new Date(sinceMs).toISOString(), until: new Date(untilMs).toISOString(), late, members };
}
