import { Agent, request, type IncomingHttpHeaders } from 'node:http';
import { TOKEN } from '../../helpers/gateway.js';

export interface Call {
  method?: string;
  body?: unknown;
  headers?: Record<string, string>;
  timeoutMs?: number;
}

export interface Reply {
  status: number;
  headers: IncomingHttpHeaders;
  text: string;
  /** Both by Date.now(), the clock that Redis on this machine has too. */
  sentAt: number;
  receivedAt: number;
}

/** There was nobody to say it to: it has certainly not happened. */
export class NotSent extends Error {}

/** One caller with sockets of its own. It never repeats anything. */
export class Client {
  readonly #agent = new Agent({ keepAlive: true });

  /** `path` is below /sd/v1. Rejects when there is no answer: with NotSent, or with anything else when it may have happened. */
  call(url: string, path: string, { method = 'GET', body, headers = {}, timeoutMs = 3000 }: Call = {}): Promise<Reply> {
    const text = body === undefined ? undefined : JSON.stringify(body);
    const content = text === undefined ? {} : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) };
    const sentAt = Date.now();
    return new Promise((resolve, reject) => {
      const sent = request(`${url}/sd/v1${path}`, { agent: this.#agent, method, headers: { 'x-api-token': TOKEN, ...content, ...headers } }, (response) => {
        const pieces: Buffer[] = [];
        response.on('data', (piece: Buffer) => pieces.push(piece)).on('error', reject);
        response.on('end', () => {
          clearTimeout(timer);
          resolve({ status: response.statusCode ?? 0, headers: response.headers, text: Buffer.concat(pieces).toString(), sentAt, receivedAt: Date.now() });
        });
      });
      const timer = setTimeout(() => sent.destroy(new Error(`no answer within ${timeoutMs} ms`)), timeoutMs);
      sent.on('error', (error: NodeJS.ErrnoException) => {
        clearTimeout(timer);
        reject(error.code === 'ECONNREFUSED' ? new NotSent(error.message) : error);
      });
      sent.end(text);
    });
  }

  close() {
    this.#agent.destroy();
  }
}

export const pick = <T>(items: readonly T[]): T => items[Math.floor(Math.random() * items.length)] as T;
