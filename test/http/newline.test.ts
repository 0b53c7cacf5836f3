import type { AddressInfo } from 'node:net';
import { expect, test } from 'vitest';
import { registration } from '../helpers/gateway.js';
import { exchange } from '../helpers/raw-http.js';
import { sharedGateway } from '../helpers/shared-gateway.js';

const gateway = sharedGateway();

test('every JSON answer ends with one newline, as long as its Content-Length says', async () => {
  const { app, call } = gateway();
  const answers = [
    await call.post('/instances').send(registration({ instanceId: 'a' })).expect(201),
    await call.post('/instances/a/heartbeat').expect(200),
    await call.post('/heartbeats').send([{ instanceId: 'a' }]).expect(200),
    await call.patch('/instances/a').send({ status: 'error' }).expect(200),
    await call.get('/instances').expect(200),
    await call.get('/instances?type=game&group=kr-1').expect(200),
    await call.get('/instances?limit=1').expect(200),
    await call.get('/instances?healthCheck=true').expect(200),
    await call.get('/instances/a').expect(200),
    await call.get('/groups').expect(200),
    await call.get('/events').expect(200),
    await call.get('/instances/nobody').expect(404),
    await call.get('/nowhere').expect(404),
    await call.post('/instances').send({}).expect(400),
    await call.get('//livez').expect(200),
    await call.get('//openapi.json').expect(200),
  ];
  for (const { text, headers, status } of answers) {
    expect([status, text.slice(0, 80), text.slice(-2)]).toEqual([status, text.slice(0, 80), '}\n']);
    expect(headers['content-length']).toBe(String(Buffer.byteLength(text)));
  }
  const { port } = app.server.address() as AddressInfo;
  expect((await exchange(port, 'no request at all\r\n\r\n')).text).toMatch(/\}\n$/);
  const { text: metrics } = await call.get('//metrics').expect(200);
  expect(metrics).not.toMatch(/\n\n$/);
});
