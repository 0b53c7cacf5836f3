import { existsSync, readFileSync } from 'node:fs';
import { createClient, type Client, type ClientLog } from '../client/index.js';

export interface ConnectOptions {
  url?: string;
  tokenFile?: string;
}

/** Where `npm start` keeps the token of a gateway that was started without one. */
const LOCAL_TOKEN = '.rollcall/token';
const LOCAL_URL = 'http://127.0.0.1:3000';

const LOOPBACK = /^https?:\/\/(127\.|localhost\b|\[::1\])/;

/** A token is never an argument: everybody on the machine sees those. The one of this folder is for a gateway of this machine only. */
function tokenOf({ tokenFile }: ConnectOptions, given: string | undefined, baseURL: string[]): string | undefined {
  if (tokenFile === undefined && given !== undefined) return given;
  const file = tokenFile ?? (baseURL.every((url) => LOOPBACK.test(url)) && existsSync(LOCAL_TOKEN) ? LOCAL_TOKEN : undefined);
  return file === undefined ? undefined : readFileSync(file, 'utf8').trim();
}

/**
 * From `--url` and `--token-file`, else `ROLLCALL_URL` and `ROLLCALL_TOKEN`, else the gateway of `npm start` in this folder.
 * @throws {RollcallError} invalid_request, which names what is wrong.
 */
export function connect(options: ConnectOptions, environment: Record<string, string | undefined>, log?: ClientLog): Client {
  const { ROLLCALL_URL, ROLLCALL_TOKEN } = environment;
  const baseURL = (options.url ?? ROLLCALL_URL ?? LOCAL_URL).split(',');
  const apiToken = tokenOf(options, ROLLCALL_TOKEN, baseURL);
  return createClient({ baseURL, ...(apiToken !== undefined && { apiToken }), ...(log && { log }) });
}
