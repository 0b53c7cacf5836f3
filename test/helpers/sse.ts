import { Agent, request, type ClientRequest, type IncomingHttpHeaders, type IncomingMessage } from 'node:http';

export interface Frame {
  /** `message` where the server named none. */
  event: string;
  /** The `id` of this very frame; what is in force is `lastEventId`. */
  id?: string;
  data: string;
  /** When its empty line was read, by performance.now(). */
  at: number;
  json<T = unknown>(): T;
}

const frameOf = (event: string, id: string | undefined, data: string): Frame => ({
  event: event || 'message',
  ...(id !== undefined && { id }),
  data,
  at: performance.now(),
  json: <T>() => JSON.parse(data) as T,
});

/** The event stream of the HTML standard, chapter 9.2.6, in pieces of any size. */
export class FrameParser {
  comments = 0;
  retry: number | undefined;
  lastEventId: string;
  #line = '';
  #afterCr = false;
  #stopped = false;
  #event = '';
  #id: string | undefined;
  #data: string[] = [];
  readonly #onFrame: (frame: Frame) => void;

  constructor(onFrame: (frame: Frame) => void, lastEventId = '') {
    this.#onFrame = onFrame;
    this.lastEventId = lastEventId;
  }

  /** A frame has begun and not ended. */
  get partial(): boolean {
    return this.#line !== '' || this.#event !== '' || this.#id !== undefined || this.#data.length > 0;
  }

  /** Nothing more is delivered, not even from the piece under way. */
  stop() {
    this.#stopped = true;
  }

  push(text: string) {
    if (text === '') return;
    let from = this.#afterCr && text.startsWith('\n') ? 1 : 0; // the second half of a CRLF that was cut in two
    this.#afterCr = false;
    const end = /[\r\n]/g;
    for (end.lastIndex = from; end.test(text) && !this.#stopped; end.lastIndex = from) {
      const line = this.#line + text.slice(from, end.lastIndex - 1);
      const cr = text[end.lastIndex - 1] === '\r';
      from = cr && text[end.lastIndex] === '\n' ? end.lastIndex + 1 : end.lastIndex;
      this.#afterCr = cr && from === text.length && text.endsWith('\r');
      this.#line = '';
      this.#take(line);
    }
    this.#line += text.slice(from);
  }

  #take(line: string) {
    if (line === '') return this.#dispatch();
    const colon = line.indexOf(':');
    if (colon === 0) return void this.comments++;
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? '' : line.slice(line[colon + 1] === ' ' ? colon + 2 : colon + 1);
    if (field === 'data') this.#data.push(value);
    else if (field === 'event') this.#event = value;
    else if (field === 'id' && !value.includes('\0')) this.#id = value;
    else if (field === 'retry' && /^[0-9]+$/.test(value)) this.retry = Number(value);
  }

  #dispatch() {
    const [event, id, lines] = [this.#event, this.#id, this.#data];
    [this.#event, this.#id, this.#data] = ['', undefined, []];
    if (id !== undefined) this.lastEventId = id;
    if (lines.length > 0) this.#onFrame(frameOf(event, id, lines.join('\n')));
  }
}

export interface WatchOptions {
  headers?: Record<string, string>;
  /** Sent as Last-Event-ID unless empty. */
  lastEventId?: string;
  /** Called for each frame in order. What it does to the watch, such as `cut()`, holds before the next frame. */
  onFrame?: (frame: Frame, watch: Watch) => void;
}

export interface Ended {
  /** The server finished its answer, and not within a frame. Never so after `cut()` or `close()`. */
  clean: boolean;
  by: 'server' | 'client';
  error?: Error;
}

interface Waiter {
  offer: (frame: Frame) => boolean;
  fail: (why: string) => void;
}

/** One connection, on a socket of its own. It never reconnects. */
export class Watch {
  readonly frames: Frame[] = [];
  /** 0 until there is an answer. */
  status = 0;
  headers: IncomingHttpHeaders = {};
  /** What was answered where it is not an event stream. */
  body = '';
  /** The head of the answer is there, whatever its status. Rejects if none comes. */
  readonly opened: Promise<void>;
  /** For a paused reader not before it resumes: who does not read does not see the end either. */
  readonly ended: Promise<Ended>;
  readonly #parser: FrameParser;
  readonly #request: ClientRequest;
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 1 }); // no `connection: close`, as a browser
  #response: IncomingMessage | undefined;
  #waiters: Waiter[] = [];
  #cursor = 0;
  #paused = false;
  #over = false;
  #by: Ended['by'] = 'server';
  #error: Error | undefined;
  #resolveEnded!: (ended: Ended) => void;

  constructor(url: string, { headers = {}, lastEventId = '', onFrame }: WatchOptions = {}) {
    this.#parser = new FrameParser((frame) => {
      this.frames.push(frame);
      onFrame?.(frame, this);
      const taker = this.#waiters.find((waiter) => waiter.offer(frame));
      if (taker) this.#cursor = this.frames.length;
    }, lastEventId);
    this.ended = new Promise((resolve) => (this.#resolveEnded = resolve));
    const sent = { accept: 'text/event-stream', 'cache-control': 'no-cache', ...(lastEventId && { 'last-event-id': lastEventId }), ...headers };
    this.#request = request(url, { agent: this.#agent, headers: sent });
    this.opened = new Promise((resolve, reject) => {
      this.#request.on('response', (response) => {
        this.#read(response);
        resolve();
      });
      this.#request.on('error', (error) => (this.#error ??= error));
      this.#request.on('close', () => {
        reject(this.#error ?? new Error('closed before there was an answer'));
        if (!this.#response) this.#finish(false);
      });
    });
    this.opened.catch(() => undefined); // whoever does not wait for it sees `ended`
    this.#request.end();
  }

  get comments() {
    return this.#parser.comments;
  }
  get retry() {
    return this.#parser.retry;
  }
  get lastEventId() {
    return this.#parser.lastEventId;
  }

  /** The first frame that is so, behind the one that the last call gave. Fails when the stream ends without it. */
  async next(predicate: (frame: Frame) => boolean = () => true, timeoutMs = 5000): Promise<Frame> {
    for (let at = this.#cursor; at < this.frames.length; at++) {
      const found = this.frames[at] as Frame;
      if (!predicate(found)) continue;
      this.#cursor = at + 1;
      return found;
    }
    return new Promise<Frame>((resolve, reject) => {
      const fail = (why: string) => {
        done();
        const last = this.frames.slice(-3).map(({ event, id, data }) => `${event} ${id ?? ''} ${data.slice(0, 100)}`);
        reject(new Error(`${why}: no frame for ${predicate.toString()}; ${this.frames.length} in all, the last: ${last.join(' | ')}`));
      };
      const offer = (frame: Frame) => {
        try {
          if (!predicate(frame)) return false;
          resolve(frame);
        } catch (error) {
          reject(error);
        }
        done();
        return true;
      };
      const waiter = { offer, fail };
      const timer = setTimeout(() => fail(`not within ${timeoutMs} ms`), timeoutMs);
      const done = () => {
        clearTimeout(timer);
        this.#waiters = this.#waiters.filter((other) => other !== waiter);
      };
      if (this.#over) fail('the stream has ended');
      else this.#waiters.push(waiter);
    });
  }

  /** Reads no more. The kernels' buffers still take what the server sends, on loopback some megabytes. */
  pause() {
    this.#paused = true;
    this.#response?.pause();
  }

  resume() {
    this.#paused = false;
    this.#response?.resume();
  }

  /** Destroys the socket; nothing is delivered any more, not even what has arrived. */
  cut() {
    if (this.#over) return;
    this.#by = 'client';
    this.#parser.stop();
    this.#request.destroy();
  }

  async close(): Promise<Ended> {
    this.cut();
    return this.ended;
  }

  #read(response: IncomingMessage) {
    this.#response = response;
    this.status = response.statusCode ?? 0;
    this.headers = response.headers;
    const isStream = this.status === 200 && /^text\/event-stream\s*(;|$)/i.test(response.headers['content-type'] ?? '');
    const decoder = new TextDecoder(); // drops the byte order mark, and joins characters cut in two
    response.on('data', (chunk: Buffer) => {
      const text = decoder.decode(chunk, { stream: true });
      if (isStream) this.#parser.push(text);
      else this.body += text;
    });
    response.on('error', (error) => (this.#error ??= error));
    response.on('close', () => this.#finish(this.#by === 'server' && response.complete && !this.#parser.partial));
    if (this.#paused) response.pause();
  }

  #finish(clean: boolean) {
    if (this.#over) return;
    this.#over = true;
    this.#agent.destroy();
    this.#resolveEnded({ clean, by: this.#by, ...(this.#error && { error: this.#error }) });
    for (const { fail } of [...this.#waiters]) fail('the stream ended');
  }
}

export const openWatch = (url: string, options: WatchOptions = {}): Watch => new Watch(url, options);
