import { Agent, request, type IncomingHttpHeaders } from 'node:http';

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

/** Nothing came back: the replica is gone, or says nothing. */
export class NoAnswer extends Error {
  constructor(
    message: string,
    /** There was nobody to say it to: it has certainly not happened. */
    readonly unsent: boolean,
    readonly sentAt: number,
    readonly receivedAt: number,
  ) {
    super(message);
  }
}

/** A caller with keep-alive sockets of its own. It repeats nothing by itself. */
export class KeepAliveClient {
  readonly #agent: Agent;

  constructor(
    private readonly token: string,
    private readonly timeoutMs: number,
    maxSockets = Infinity,
  ) {
    this.#agent = new Agent({ keepAlive: true, maxSockets });
  }

  /** `path` is below /sd/v1, or from the root when it begins with two slashes. Rejects with NoAnswer. */
  call(url: string, path: string, { method = 'GET', body, headers = {}, timeoutMs = this.timeoutMs }: Call = {}): Promise<Reply> {
    const text = body === undefined ? undefined : JSON.stringify(body);
    const content = text === undefined ? {} : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) };
    const whole = path.startsWith('//') ? url + path.slice(1) : `${url}/sd/v1${path}`;
    const sentAt = Date.now();
    return new Promise((resolve, reject) => {
      const failed = (error: NodeJS.ErrnoException) => {
        clearTimeout(timer);
        reject(new NoAnswer(error.message, error.code === 'ECONNREFUSED', sentAt, Date.now()));
      };
      const sent = request(whole, { agent: this.#agent, method, headers: { 'x-api-token': this.token, ...content, ...headers } }, (response) => {
        const pieces: Buffer[] = [];
        response.on('data', (piece: Buffer) => pieces.push(piece)).on('error', failed);
        response.on('end', () => {
          clearTimeout(timer);
          resolve({ status: response.statusCode ?? 0, headers: response.headers, text: Buffer.concat(pieces).toString(), sentAt, receivedAt: Date.now() });
        });
      });
      const timer = setTimeout(() => sent.destroy(new Error(`no answer within ${timeoutMs} ms`)), timeoutMs);
      sent.on('error', failed);
      sent.end(text);
    });
  }

  close() {
    this.#agent.destroy();
  }
}
