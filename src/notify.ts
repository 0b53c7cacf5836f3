import { execFile } from 'node:child_process';
import type { Logger } from 'pino';
import type { Config } from './config.js';

const TOLD_WITHIN_MS = 5000;

/**
 * Tells systemd how it stands, when that has asked (`Type=notify`): by `systemd-notify`, started for a moment, because Node has no datagram
 * sockets of the Unix domain, and a native package only for this is not worth its build. The unit needs `NotifyAccess=all`, for it is a child that speaks.
 */
export function notifySystemd(state: 'READY=1' | 'STOPPING=1', { notify }: Pick<Config, 'notify'>, log: Logger) {
  if (!notify) return;
  execFile('systemd-notify', [state], { timeout: TOLD_WITHIN_MS }, (err) => err && log.warn({ err, state }, 'systemd was not told'));
}
