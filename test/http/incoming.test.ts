import { once } from 'node:events';
import { createServer } from 'node:http';
import { connect, type AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { BodyReader } from '../../src/http/requests/body-reader.js';
import { BoundedMessage, FREE_A_TURN, PIECES_A_TURN } from '../../src/http/requests/incoming.js';
import { exchange } from '../helpers/raw-http.js';

const LIMIT = 64 * 1024;
const reader = new BodyReader();
let [pieces, inTurn, most] = [0, 0, 0];

class Counted extends BoundedMessage {
  override push(piece: Buffer | null): boolean {
    if (piece && inTurn++ === 0) setImmediate(() => ([most, inTurn] = [Math.max(most, inTurn), 0]));
    if (piece) pieces++;
    return super.push(piece);
  }
}

const server = createServer({ IncomingMessage: Counted }, (request, response) => {
  const answer = (status: number, text: string) => response.writeHead(status, { 'content-length': text.length, connection: 'close' }).end(text);
  reader.read(request, LIMIT, (error, body) => (error ? answer(400, error.message) : answer(200, String(body?.length))));
});
beforeAll(() => new Promise<void>((listening) => void server.listen(0, '127.0.0.1', listening)));
afterAll(() => server.close());

const HEAD = 'POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n';
const send = (bytes: string) => exchange((server.address() as AddressInfo).port, bytes);
const bodyOf = (size: number, count: number) => `${HEAD}${`${size.toString(16)}\r\n${'x'.repeat(size)}\r\n`.repeat(count)}0\r\n\r\n`;
const chunked = (size: number, count: number) => send(bodyOf(size, count));

/** Connects so often, then writes to all in one go, so that the other side finds everything in one turn. */
async function together(count: number, bytes: string): Promise<string[]> {
  const sockets = await Promise.all(Array.from({ length: count }, async () => {
    const socket = connect({ host: '127.0.0.1', port: (server.address() as AddressInfo).port });
    await once(socket, 'connect');
    return socket;
  }));
  while ((await connections()) < count) await sleep(5);
  return Promise.all(sockets.map(async (socket) => {
    let text = '';
    socket.on('error', () => undefined).on('data', (piece: Buffer) => void (text += piece.toString())).write(bytes);
    await once(socket, 'close');
    return text.slice(text.indexOf('\r\n\r\n') + 4);
  }));
}
const connections = () => new Promise<number>((resolve) => server.getConnections((_error, count) => resolve(count)));
const begin = () => ([pieces, inTurn, most] = [0, 0, 0]);

test('of a body in chunks of one byte the first thousand are looked at, though the parser was given 10,000', async () => {
  begin();
  const { status, text } = await chunked(1, 20_000);
  expect([status, text]).toEqual([400, 'the body comes in chunks of a few bytes: send it in larger ones']);
  expect(pieces).toBeLessThanOrEqual(PIECES_A_TURN + 1);
  expect(reader.held).toBe(0);
});

test.each([1, 100])('however many send chunks of %i at once, a turn looks at no more than its share, and some of each', async (size) => {
  begin();
  const answers = await together(20, bodyOf(size, 600));
  expect(most).toBeGreaterThan(PIECES_A_TURN / 2);
  expect(most).toBeLessThanOrEqual(PIECES_A_TURN + 20 * (FREE_A_TURN + 1));
  for (const text of answers) expect([`${600 * size}`, 'this replica is sent more small chunks of bodies than it can read: send larger ones, or try again']).toContain(text);
});

test('few chunks are taken whatever others send, and a connection that comes after is read as any other', async () => {
  const crowd = Array.from({ length: 20 }, () => chunked(1, 10_000));
  const few = await Promise.all(Array.from({ length: 20 }, () => chunked(20, FREE_A_TURN)));
  expect(few.map(({ text }) => text)).toEqual(Array(20).fill(`${20 * FREE_A_TURN}`));
  await Promise.all(crowd);
  const after = await Promise.all(Array.from({ length: 40 }, () => send(`POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\nhello`)));
  expect(after.map(({ text }) => text)).toEqual(Array(40).fill('5'));
});
