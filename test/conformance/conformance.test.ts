import type { AddressInfo } from 'node:net';
import { inject, onTestFinished } from 'vitest';
import { createClient, type ClientOptions } from '../../src/client/index.js';
import { buildGateway, openRegistry, TOKEN } from '../helpers/gateway.js';
import { keepsTheContract } from './registry.contract.js';

const backendOf = (options: ClientOptions) => {
  const client = createClient(options);
  onTestFinished(() => client.close());
  return client.backend;
};

keepsTheContract('the client straight to Redis', async () => {
  const { prefix, raw, keys } = await openRegistry({ fromMemory: true }); // founds the registry, and cleans up
  await raw.hset(keys.epoch, 'at', Date.now() - 60_000); // of an older one nobody asks whether it has just lost everything
  return backendOf({ mode: 'redis', redisUrl: inject('redisUrl'), keyPrefix: prefix });
});

keepsTheContract('the client over HTTP', async () => {
  const { app } = await buildGateway({ fromMemory: true });
  return backendOf({ baseURL: `http://127.0.0.1:${(app.server.address() as AddressInfo).port}`, apiToken: TOKEN });
});
