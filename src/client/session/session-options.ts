import type { Registration } from '../../contract/index.js';

/**
 * `joining`: not registered yet. `joined`: the registry has acknowledged it lately. `unsure`: no acknowledgement for longer than an
 * interval. `lost`: none for a whole lease, so others may not see it any more; it goes on trying. `superseded`: another process has the id, for good.
 * `left`: by `leave`.
 */
export type SessionState = 'joining' | 'joined' | 'unsure' | 'lost' | 'superseded' | 'left';

export interface SessionEvents extends Record<string, unknown> {
  state: { state: SessionState; was: SessionState };
  /** Registered for the first time. */
  registered: { instanceId: string; incarnation: string };
  /** Not listed any more, as far as it can tell: silence for a whole lease, swept, or another process has the id. */
  lost: { reason: 'silence' | 'unknown' | 'superseded' };
  /** Registered again, as the same process, after it was lost. */
  registeredAgain: { instanceId: string };
  /** A registration was refused. It goes on trying. */
  refused: { error: unknown };
}

/** What to register. `hostname`, `privateIp` and `systemInfo` are found out where they are absent; `incarnation` is this process's own. */
export type JoinOptions = Omit<Registration, 'incarnation' | 'hostname' | 'performance'> & {
  hostname?: string;
  /** Sent with every heartbeat. Unless given: load for each core, memory in MiB, lag of the event loop in ms. False: nothing. */
  performance?: (() => Record<string, unknown>) | false;
  /**
   * Heartbeats go out from a thread of their own, with a connection of its own: a process that is busy for longer than its lease stays registered, and
   * says for how long in `performance.lagMs`. Node, Deno and Bun; not with a `fetch` of one's own.
   */
  worker?: boolean;
  /** On SIGTERM and SIGINT: status `shutting_down`, then, after `drainMs`, `leave`, and the signal takes its course. */
  leaveOnSignals?: boolean | { drainMs?: number };
};
