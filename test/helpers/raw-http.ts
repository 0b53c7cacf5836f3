import { connect } from 'node:net';
import type { Answer } from './problem.js';

const SILENT_MS = 8000;

/**
 * Writes these bytes to a loopback port as they are and reads one answer: for requests that no HTTP client would send.
 * `end` closes our side after the last byte.
 */
export function exchange(port: number, bytes: string | Buffer, { end = false } = {}): Promise<Answer & { text: string }> {
  return new Promise((resolve, reject) => {
    let received = '';
    const socket = connect({ host: '127.0.0.1', port });
    const timer = setTimeout(() => finish(new Error(`no whole answer; so far: '${received.slice(0, 200)}'`)), SILENT_MS);
    const finish = (failure?: Error) => {
      clearTimeout(timer);
      socket.destroy();
      const answer = parseAnswer(received);
      if (answer) resolve(answer);
      else reject(failure ?? new Error(`the connection ended with '${received.slice(0, 200)}'`));
    };
    socket.on('connect', () => (end ? socket.end(bytes) : socket.write(bytes)));
    socket.on('data', (chunk: Buffer) => {
      received += chunk.toString('latin1');
      if (parseAnswer(received)) finish();
    });
    socket.on('error', finish);
    socket.on('close', () => finish());
  });
}

function parseAnswer(received: string): (Answer & { text: string }) | undefined {
  const split = received.indexOf('\r\n\r\n');
  if (split < 0) return undefined;
  const [line = '', ...fields] = received.slice(0, split).split('\r\n');
  const headers = Object.fromEntries(fields.map((field) => [field.slice(0, field.indexOf(':')).toLowerCase(), field.slice(field.indexOf(':') + 1).trim()]));
  const text = received.slice(split + 4);
  if (text.length < Number(headers['content-length'] ?? 0)) return undefined;
  return { status: Number(line.split(' ')[1]), headers, text, body: text.startsWith('{') ? JSON.parse(text) : text };
}
