import { fork } from 'node:child_process';
import { Agent, request } from 'node:http';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { HEADERS, TOKEN, type Process } from '../rig.js';

const LATE_MS = 20_000;

const newAgent = () => new Agent({ keepAlive: true, maxSockets: 6000 });

/** One caller with one token, who sends what a row says and reads what comes. */
export class Attacker {
  /** What it was answered, how often. */
  readonly statuses = new Map<number, number>();
  #agent = newAgent();

  constructor(
    private readonly gateway: Process,
    /** Position of the first change that the log holds. */
    readonly first: string,
  ) {}

  get = (path: string, headers: Record<string, string> = {}) => this.send('GET', path, '', headers);

  /** The status; 0 where there was no answer. Below `/sd/v1`, or with two slashes below the root. */
  send(method: string, path: string, body = '', headers: Record<string, string> = {}): Promise<number> {
    const below = path.startsWith('//') ? path.slice(1) : `/sd/v1${path}`;
    return new Promise<number>((resolve) => {
      const sent = request(`${this.gateway.url}${below}`, { method, agent: this.#agent, headers: { ...HEADERS, ...(body && { 'content-length': String(Buffer.byteLength(body)) }), ...headers } }, (reply) => {
        reply.resume().on('end', () => resolve(reply.statusCode ?? 0)).on('error', () => resolve(0));
      });
      sent.setTimeout(LATE_MS, () => sent.destroy());
      sent.on('error', () => resolve(0)).end(body);
    }).then((status) => this.#count(status));
  }

  /** A body of so many chunks of one byte, as few segments as the socket takes: one read of the replica holds thousands of chunks. */
  chunks(count: number): Promise<void> {
    return this.raw(`POST /sd/v1/instances HTTP/1.1\r\nHost: bench\r\nX-API-Token: ${TOKEN}\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n${'1\r\n \r\n'.repeat(count)}0\r\n\r\n`, true, LATE_MS);
  }

  /** Sends this text, reads or does not, and leaves when the other side closes, or after so many ms. */
  raw(text: string, reads: boolean, ms: number): Promise<void> {
    return new Promise((resolve) => {
      const socket = connect({ host: '127.0.0.1', port: this.gateway.port });
      socket.setNoDelay(true).on('error', () => undefined).on('close', () => resolve());
      if (reads) socket.resume();
      socket.write(text);
      setTimeout(() => socket.destroy(), ms).unref();
    });
  }

  /** GETs of pages that nobody reads. */
  unread(count: number, path: (i: number) => string, ms: number) {
    return Promise.all(Array.from({ length: count }, (_, i) => this.raw(`GET /sd/v1${path(i)} HTTP/1.1\r\nHost: bench\r\nX-API-Token: ${TOKEN}\r\n\r\n`, false, ms)));
  }

  /** Watchers in a process of their own, some of which never read, for so long. */
  async crowd(path: string, count: number, silent: number, ms: number, act: () => Promise<unknown> = () => sleep(0), from = '') {
    // the crowd writes its path into the first line: a header can follow it
    const target = from ? `${path} HTTP/1.1\r\nLast-Event-ID: ${from}\r\nX-Rest:` : path;
    const child = fork('bench/watch-crowd.mjs', [String(this.gateway.port), target, TOKEN, String(count), String(silent)], { execArgv: [] });
    await sleep(ms / 2);
    await act();
    await sleep(ms / 2);
    child.kill('SIGKILL');
  }

  /** What it was answered since it was last asked. */
  told(): string {
    const all = [...this.statuses].sort(([a], [b]) => a - b).map(([status, count]) => `${count} x ${status || 'none'}`);
    this.statuses.clear();
    return all.join(', ');
  }

  /** Ends what is under way: the next row begins with nothing. */
  leave() {
    this.#agent.destroy();
    this.#agent = newAgent();
  }

  #count(status: number): number {
    this.statuses.set(status, (this.statuses.get(status) ?? 0) + 1);
    return status;
  }
}
