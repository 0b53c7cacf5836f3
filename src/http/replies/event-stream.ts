import type { ServerResponse } from 'node:http';
import type { FastifyReply } from 'fastify';
import type { Sink } from '../../registry/watch/frames.js';

const HEADERS = {
  'content-type': 'text/event-stream; charset=utf-8',
  'cache-control': 'no-cache, no-transform',
  'x-accel-buffering': 'no', // nginx would collect frames otherwise
};

/** An answer that goes on: the headers leave with the first frame, so that a refusal before it is still a problem document. */
export class EventStream implements Sink {
  readonly #raw: ServerResponse;
  #opened = false;
  #resume: (() => void) | undefined;

  constructor(
    private readonly reply: FastifyReply,
    private readonly isAllowed: () => boolean,
  ) {
    this.#raw = reply.raw;
  }

  get opened() {
    return this.#opened;
  }

  get closed() {
    return this.#raw.destroyed || this.#raw.writableEnded;
  }

  get allowed() {
    return this.isAllowed();
  }

  write(bytes: Buffer): boolean {
    if (this.closed) return true; // whoever closed it is told by onClose
    if (!this.#opened) this.#open();
    return this.#raw.write(bytes);
  }

  onDrain(resume: () => void) {
    if (!this.#resume) this.#raw.on('drain', () => this.#resume?.()).once('close', () => this.#resume?.());
    this.#resume = resume;
  }

  onClose(gone: () => void) {
    if (this.closed) gone();
    else this.#raw.once('close', gone);
  }

  end(bytes: Buffer) {
    if (!this.closed) this.#raw.end(bytes);
  }

  destroy() {
    this.#raw.destroy();
  }

  #open() {
    this.#opened = true;
    this.reply.hijack();
    this.#raw.writeHead(200, { ...(this.reply.getHeaders() as Record<string, string>), ...HEADERS });
  }
}
