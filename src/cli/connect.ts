import { existsSync, readFileSync } from 'node:fs';
import { createClient, type Client, type ClientLog } from '../client/index.js';

export interface ConnectOptions {
  url?: string;
  tokenFile?: string;
}

/** Where `npm start` keeps the token of a gateway that was started without one. */
const LOCAL_TOKEN = '.rollcall/token';
const LOCAL_URL = 'http://127.0.0.1:3000';

/** A token is never an argument: everybody on the machine sees those. */
function tokenOf({ tokenFile = existsSync(LOCAL_TOKEN) ? LOCAL_TOKEN : undefined }: ConnectOptions, given: string | undefined): string | undefined {
  return given ?? (tokenFile === undefined ? undefined : readFileSync(tokenFile, 'utf8').trim());
}

export const urlsOf = ({ url }: ConnectOptions): string[] | undefined => url?.split(',');

/**
 * From `--url` and `--token-file`, else `ROLLCALL_URL` and `ROLLCALL_TOKEN`, else the gateway of `npm start` in this folder.
 * @throws {RollcallError} invalid_request, which names what is wrong.
 */
export function connect(options: ConnectOptions, environment: Record<string, string | undefined>, log?: ClientLog): Client {
  const { ROLLCALL_URL, ROLLCALL_TOKEN } = environment;
  const apiToken = tokenOf(options, ROLLCALL_TOKEN);
  const baseURL = urlsOf(options) ?? ROLLCALL_URL?.split(',') ?? LOCAL_URL;
  return createClient({ baseURL, ...(apiToken !== undefined && { apiToken }), ...(log && { log }) });
}
