import type { IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { PassThrough } from 'node:stream';
import { describe, expect, test } from 'vitest';
import { BodyReader } from '../../src/http/requests/body-reader.js';
import { registration, TOKEN } from '../helpers/gateway.js';
import { expectProblem } from '../helpers/problem.js';
import { exchange } from '../helpers/raw-http.js';
import { sharedGateway } from '../helpers/shared-gateway.js';

const MIB = 1024 * 1024;

function upload(reader: BodyReader, declared?: number) {
  const stream = Object.assign(new PassThrough({ highWaterMark: 4 * MIB }), { headers: declared === undefined ? {} : { 'content-length': String(declared) } });
  const outcome = new Promise<Buffer | Error>((resolve) => reader.read(stream as unknown as IncomingMessage, MIB, (error, body) => resolve(error ?? (body as Buffer))));
  return { stream, outcome };
}

describe('a reader of bodies', () => {
  test('gives back what was sent, in whatever chunks it came', async () => {
    const reader = new BodyReader();
    for (const [sizes, declared] of [[[5], 5], [[1, 2, 3], 6], [[4096, 1, 100_000, 7], undefined], [[MIB], MIB], [[MIB - 1, 1], undefined], [[], 0]] as [number[], number | undefined][]) {
      const { stream, outcome } = upload(reader, declared);
      const chunks = sizes.map((size, i) => Buffer.alloc(size, i + 1));
      for (const chunk of chunks) stream.write(chunk);
      stream.end();
      expect(Buffer.concat(chunks).equals((await outcome) as Buffer)).toBe(true);
    }
    expect(reader.held).toBe(0);
  });

  test('holds at most twice what has come, and less than was declared until it comes', async () => {
    const reader = new BodyReader();
    const { stream, outcome } = upload(reader, MIB);
    expect(reader.held).toBe(0);
    let sent = 0;
    for (const size of [1, 5000, 60_000, 200_000, 500_000]) {
      stream.write(Buffer.alloc(size));
      await new Promise(setImmediate);
      sent += size;
      expect(reader.held).toBeGreaterThanOrEqual(sent);
      expect(reader.held).toBeLessThanOrEqual(Math.max(4096, 2 * sent));
    }
    stream.destroy();
    expect(await outcome).toMatchObject({ code: 'invalid_request', message: 'the body broke off' });
    expect(reader.held).toBe(0);
  });

  test('refuses more than its room for all of them, and has it back when they are over', async () => {
    const reader = new BodyReader(64 * MIB);
    const uploads = Array.from({ length: 100 }, () => upload(reader, MIB));
    for (const { stream } of uploads) stream.write(Buffer.alloc(MIB - 1));
    await new Promise(setImmediate);
    expect(reader.held).toBeLessThanOrEqual(64 * MIB);
    for (const { stream } of uploads) stream.end(Buffer.alloc(1));
    const outcomes = await Promise.all(uploads.map(({ outcome }) => outcome));
    const refused = outcomes.filter((outcome) => outcome instanceof Error);
    expect(refused.length).toBeGreaterThanOrEqual(36);
    expect(refused.length).toBeLessThan(50);
    expect(refused[0]).toMatchObject({ code: 'overloaded' });
    expect(reader.held).toBe(0);
  });
});

const gateway = sharedGateway();
const send = (size: number) => {
  const body = Buffer.from(JSON.stringify(registration()).padEnd(30_000));
  const chunks: string[] = [];
  for (let i = 0; i < body.length; i += size) chunks.push(`${Math.min(size, body.length - i).toString(16)}\r\n${body.toString('latin1', i, i + size)}\r\n`);
  const head = `POST /sd/v1/instances HTTP/1.1\r\nhost: x\r\nconnection: close\r\nx-api-token: ${TOKEN}\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n`;
  return exchange((gateway().app.server.address() as AddressInfo).port, `${head}${chunks.join('')}0\r\n\r\n`);
};

test('a registration may come in chunks of 100 bytes, not of one', async () => {
  expect((await send(100)).status).toBe(201);
  const refused = await send(1);
  expectProblem(refused, 400, 'invalid_request');
  expect(refused.headers.connection).toBe('close'); // or the rest would have to be read
});
