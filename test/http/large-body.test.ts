import type { Readable } from 'node:stream';
import { Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { setImmediate as turn } from 'node:timers/promises';
import type { FastifyReply } from 'fastify';
import { expect, test } from 'vitest';
import { SENT_A_TURN, sendJson } from '../../src/http/large-body.js';

const KIB = 1024;

function sent(pieces: Buffer[]) {
  const headers: Record<string, unknown> = {};
  const reply = { type: () => reply, header: (name: string, value: unknown) => ((headers[name] = value), reply), send: (body: unknown) => body };
  return { headers, body: sendJson(reply as unknown as FastifyReply, pieces) as unknown as Buffer | Readable };
}

test.each([[[0]], [[5, 7]], [[300 * KIB]], [[1, 256 * KIB, 3]], [[700 * KIB, 0, 100, 900 * KIB]], [[256 * KIB, 256 * KIB]]])('pieces of %j bytes arrive whole and in order', async (sizes) => {
  const pieces = sizes.map((size, i) => Buffer.alloc(size, `${i}a`));
  const { headers, body } = sent(pieces);
  const whole = Buffer.concat(pieces);
  if (!Buffer.isBuffer(body)) expect(headers['content-length']).toBe(whole.length);
  const got = Buffer.isBuffer(body) ? body : Buffer.concat(await body.toArray());
  expect(got.equals(whole)).toBe(true);
});

test('however many are sent large answers, a turn hands over no more than its share, and each gets on', async () => {
  const shared = Buffer.alloc(4 * KIB * KIB);
  let [bytes, most, done] = [0, 0, 0];
  const readers = Array.from({ length: 20 }, () => {
    const sink = new Writable({ write: (piece: Buffer, _encoding, next) => ((bytes += piece.length), next()) });
    return pipeline(sent([shared]).body as Readable, sink).then(() => done++);
  });
  for (let turns = 0; done < readers.length; turns++) {
    expect(turns).toBeLessThan(1000);
    bytes = 0;
    await turn();
    most = Math.max(most, bytes);
  }
  expect(most).toBeLessThanOrEqual(2 * SENT_A_TURN); // what is left of one, and the next
});

test('one whose reader has gone leaves the others their turns', async () => {
  const { body } = sent([Buffer.alloc(1000 * KIB)]);
  const others = [sent([Buffer.alloc(1000 * KIB)]), sent([Buffer.alloc(1000 * KIB)])].map((one) => (one.body as Readable).toArray());
  (body as Readable).once('data', () => (body as Readable).destroy());
  expect((await Promise.all(others)).map((pieces) => Buffer.concat(pieces).length)).toEqual([1000 * KIB, 1000 * KIB]);
});
