import { once } from 'node:events';
import { connect, type AddressInfo } from 'node:net';
import { pino } from 'pino';
import { expect, test } from 'vitest';
import { addressOf, observedIp } from '../../src/http/requests/observed-ip.js';
import { registration, TOKEN } from '../helpers/gateway.js';
import { sharedGateway } from '../helpers/shared-gateway.js';

const lines: { msg: string; code?: string }[] = [];
const log = pino({ level: 'debug' }, { write: (line: string) => void lines.push(JSON.parse(line) as (typeof lines)[0]) });
const gateway = sharedGateway({ log });
const behindProxy = sharedGateway({ log, trustProxy: ['127.0.0.1'] });

const body = JSON.stringify(registration());
const requests: [what: string, bytes: string][] = [
  ['a registration', `POST /sd/v1/instances HTTP/1.1\r\nhost: x\r\nx-api-token: ${TOKEN}\r\nx-forwarded-for: 203.0.113.9\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`],
  ['a wrong token', 'GET /sd/v1/instances HTTP/1.1\r\nhost: x\r\nx-api-token: wrong\r\nx-forwarded-for: 203.0.113.9\r\n\r\n'],
  ['a session', `POST /sd/v1/session HTTP/1.1\r\nhost: x\r\nx-api-token: ${TOKEN}\r\nx-forwarded-proto: https\r\n\r\n`],
];

/** Sends a whole request and resets the connection before the gateway, whose turn has not come, has read it. */
async function sendAndReset(port: number, bytes: string) {
  const socket = connect({ host: '127.0.0.1', port });
  await once(socket, 'connect');
  await new Promise((resolve) => socket.write(bytes, resolve));
  socket.resetAndDestroy();
}

test.each(requests)('%s whose caller reset its connection is no error of ours', async (_what, bytes) => {
  lines.length = 0;
  for (const { app } of [gateway(), behindProxy()]) {
    const { port } = app.server.address() as AddressInfo;
    for (let i = 0; i < 20; i++) await sendAndReset(port, bytes);
    await gateway().call.get('/groups').expect(200); // those before it have been read
  }
  expect(lines.filter(({ code, msg }) => code === 'internal' || msg === 'request failed')).toEqual([]);
});

test('a connection that has no address any more has none to register', () => {
  const gone = { ip: undefined } as unknown as Parameters<typeof observedIp>[0];
  expect(addressOf(gone)).toBe('');
  expect(observedIp(gone)).toBeUndefined();
});
