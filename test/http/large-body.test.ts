import type { Readable } from 'node:stream';
import { Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { setImmediate as turn } from 'node:timers/promises';
import type { FastifyReply } from 'fastify';
import { expect, test } from 'vitest';
import { SENT_A_TURN, sendJson } from '../../src/http/replies/large-body.js';

const KIB = 1024;

async function sent(pieces: Buffer[]) {
  const headers: Record<string, unknown> = {};
  const reply = { type: () => reply, header: (name: string, value: unknown) => ((headers[name] = value), reply), send: (body: unknown) => body };
  return { headers, body: (await sendJson(reply as unknown as FastifyReply, pieces)) as unknown as Buffer | Readable };
}

test.each([[[0]], [[5, 7]], [[300 * KIB]], [[1, 256 * KIB, 3]], [[700 * KIB, 0, 100, 900 * KIB]], [[256 * KIB, 256 * KIB]], [[1800 * KIB, 700 * KIB, 0, 100]], [[3 * KIB * KIB]]])('pieces of %j bytes arrive whole and in order', async (sizes) => {
  const pieces = sizes.map((size, i) => Buffer.alloc(size, `${i}a`));
  const { headers, body } = await sent(pieces);
  const whole = Buffer.concat(pieces);
  if (!Buffer.isBuffer(body)) expect(headers['content-length']).toBe(whole.length);
  const got = Buffer.isBuffer(body) ? body : Buffer.concat(await body.toArray());
  expect(got.equals(whole)).toBe(true);
});

test('however many are sent large answers, a turn hands over no more than its share, and each gets on', async () => {
  const shared = Buffer.alloc(4 * KIB * KIB);
  let [bytes, most, done] = [0, 0, 0];
  const readers = Array.from({ length: 20 }, async () => {
    const sink = new Writable({ write: (piece: Buffer, _encoding, next) => ((bytes += piece.length), next()) });
    await pipeline((await sent([shared])).body as Readable, sink);
    done++;
  });
  for (let turns = 0; done < readers.length; turns++) {
    expect(turns).toBeLessThan(1000);
    bytes = 0;
    await turn();
    most = Math.max(most, bytes);
  }
  expect(most).toBeLessThanOrEqual(2 * SENT_A_TURN); // what is left of one, and the next
});

test('however many are sent answers of which a turn takes one, each comes in its turn', async () => {
  const mine = Buffer.alloc(1500 * KIB);
  let [bytes, most, done] = [0, 0, 0];
  const all = Array.from({ length: 20 }, async () => {
    bytes += ((await sent([mine])).body as Buffer).length;
    done++;
  });
  while (done < all.length) {
    bytes = 0;
    await turn();
    most = Math.max(most, bytes);
  }
  expect(most).toBeLessThanOrEqual(2 * SENT_A_TURN);
});

test('one whose reader has gone leaves the others their turns', async () => {
  const large = Buffer.alloc(3 * KIB * KIB);
  const { body } = await sent([large]);
  const others = [1, 2].map(async () => ((await sent([large])).body as Readable).toArray());
  (body as Readable).once('data', () => (body as Readable).destroy());
  expect((await Promise.all(others)).map((pieces) => Buffer.concat(pieces).length)).toEqual([large.length, large.length]);
});
