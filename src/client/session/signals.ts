import { sleep } from '../base/sleep.js';

/** What a session does when the process is to end. */
export interface Leaving {
  updateStatus(status: 'shutting_down'): void;
  leave(): Promise<unknown>;
}

/** On SIGTERM and SIGINT it says that it shuts down, and leaves after this time. Then the signal takes its course, unless somebody else listens to it. */
export function leaveWithSignals(session: Leaving, drainMs = 0) {
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.once(signal, () => {
      session.updateStatus('shutting_down');
      void sleep(drainMs)
        .then(() => session.leave())
        .finally(() => {
          if (process.listenerCount(signal) === 0) process.kill(process.pid, signal);
        });
    });
  }
}
