import { EventEmitter } from 'node:events';
import type { ServerResponse } from 'node:http';
import { expect, test } from 'vitest';
import { Unread, UNREAD_BYTES } from '../../src/http/replies/unread.js';

const response = (destroyed = false) => Object.assign(new EventEmitter(), { destroyed }) as unknown as ServerResponse;
const MIB = 1024 * 1024;
const body = () => ({ size: 8 * MIB });

test('who leaves more unread than one may is refused by name of the cap, until a reader is done or gone', () => {
  const unread = new Unread();
  const sent = Array.from({ length: UNREAD_BYTES.perToken / (8 * MIB) }, () => response());
  for (const one of sent) unread.hold(body(), 'a', one);
  expect(() => unread.hold(body(), 'a', response())).toThrow('this token has 64 MiB of answers that it has not read');
  unread.hold(body(), 'b', response());
  sent[0]?.emit('close');
  unread.hold(body(), 'a', response());
});

test('one body that many are sent counts once, and short ones not at all', () => {
  const unread = new Unread();
  const [shared, readers] = [body(), Array.from({ length: 100 }, () => response())];
  for (const one of readers) unread.hold(shared, 'a', one);
  unread.hold({ size: 1000 }, 'a', response());
  unread.hold(body(), 'a', response(true)); // whose reader has gone already
  expect(unread.bytes).toBe(8 * MIB);
  for (const one of readers) one.emit('close');
  expect(unread.bytes).toBe(0);
});

test('all together have a bound too', () => {
  const unread = new Unread();
  for (let i = 0; unread.bytes < UNREAD_BYTES.overall; i++) unread.hold(body(), `t-${i}`, response());
  expect(() => unread.hold(body(), 'z', response())).toThrow(expect.objectContaining({ code: 'overloaded' }));
});
