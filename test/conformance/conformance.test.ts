import type { AddressInfo } from 'node:net';
import { buildGateway, openRegistry, TOKEN } from '../helpers/gateway.js';
import { inProcess } from './in-process.js';
import { overHttp } from './over-http.js';
import { keepsTheContract } from './registry.contract.js';

keepsTheContract('the registrar over Redis with what a replica serves', async () => inProcess((await openRegistry({ fromMemory: true })).registry));

keepsTheContract('the gateway over HTTP', async () => {
  const { app } = await buildGateway({ fromMemory: true });
  return overHttp(`http://127.0.0.1:${(app.server.address() as AddressInfo).port}`, TOKEN);
});
