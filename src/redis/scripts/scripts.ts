import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { Connection } from '../connect/connection.js';
import type { Keys } from './keys.js';
import { random32 } from '../../registry/ids.js';

const FOLDER = new URL('../../../lua/', import.meta.url);
export const VERBS = ['register', 'heartbeat', 'patch', 'remove', 'sweep', 'reconcile', 'pulse', 'claim', 'restore', 'release', 'load', 'look', 'lock', 'renew', 'unlock'] as const;
export type Verb = (typeof VERBS)[number];
/** What callers' writes are made of: they say until when they may be made. */
const WRITING: readonly Verb[] = ['register', 'heartbeat', 'patch', 'remove'];

interface Script {
  source: string;
  sha: string;
}

const INCLUDE = /^-- @include (\w+)$/gm;

/** A verb's source with its includes in place. `plain` drops the `#!lua` line, which the pure-JS Redis does not know. */
function load(verb: Verb, plain: boolean): Script {
  const read = (path: string) => readFileSync(new URL(path, FOLDER), 'utf8');
  const whole = read(`${verb}.lua`).replace(INCLUDE, (_, name: string) => read(`include/${name}.lua`));
  const source = plain ? whole.replace(/^#!.*\n/, '\n') : whole;
  return { source, sha: createHash('sha1').update(source).digest('hex') };
}

/** `NOSCRIPT`: this Redis does not hold the script, after a SCRIPT FLUSH, a restart or a failover. */
export const isNoScript = (error: unknown) => error instanceof Error && error.message.startsWith('NOSCRIPT');

export class Scripts {
  readonly #scripts: Record<Verb, Script>;
  readonly #keys: string[];
  readonly #eventsMax: string;

  constructor(keys: Keys, options: { eventsMax: number; plainLua: boolean }) {
    const entries = VERBS.map((verb) => [verb, load(verb, options.plainLua)] as const);
    this.#scripts = Object.fromEntries(entries) as Record<Verb, Script>;
    this.#keys = keys.forScripts;
    this.#eventsMax = String(options.eventsMax);
  }

  /**
   * Arguments of EVALSHA, or of EVAL, which also leaves the script loaded on the node that runs it. A caller's write is made until
   * `notAfterMs` of Redis' clock, or never; 0: whenever it arrives.
   */
  command(verb: Verb, args: readonly (string | number)[], how: 'sha' | 'source', notAfterMs = 0, keys: readonly string[] = this.#keys): [string, number, ...(string | number)[]] {
    const script = this.#scripts[verb];
    const until = WRITING.includes(verb) ? [notAfterMs] : [];
    return [how === 'sha' ? script.sha : script.source, keys.length, ...keys, random32(), this.#eventsMax, ...until, ...args];
  }

  /** The sources of the verbs that callers' writes are made of. */
  get writing(): string[] {
    return WRITING.map((verb) => this.#scripts[verb].source);
  }

  /** Runs one script by itself. Writes of callers go through Turns instead. */
  async run(connection: Connection, verb: Verb, args: readonly (string | number)[], keys = this.#keys): Promise<unknown> {
    try {
      return await connection.evalsha(...this.command(verb, args, 'sha', 0, keys));
    } catch (error) {
      if (!isNoScript(error)) throw error;
      return connection.eval(...this.command(verb, args, 'source', 0, keys));
    }
  }
}
