import { beforeAll, beforeEach } from 'vitest';
import { buildGateway, type GatewaySetup } from './gateway.js';

type Gateway = Awaited<ReturnType<typeof buildGateway>>;

/** One gateway for all tests of a file, its registry empty before each: building one costs more than most tests do. */
export function sharedGateway(setup: GatewaySetup = {}): () => Gateway {
  let gateway: Gateway;
  beforeAll(async () => {
    const closers: (() => Promise<void>)[] = [];
    gateway = await buildGateway({ ...setup, cleanup: (close) => closers.push(close) });
    return async () => {
      for (const close of closers.reverse()) await close();
    };
  });
  beforeEach(async () => {
    const { raw, prefix, keys } = gateway;
    const left = await raw.keys(`${prefix}*`);
    await raw.multi().del(keys.alive, ...left).set(keys.alive, Date.now()).exec(); // at one moment, or the next pulse sees an outage
  });
  return () => gateway;
}
